import { LastLogoutError } from '../errors.js'

/** The credentials of an application, and the configured domain of the tenant. */
export interface ApplicationCredentials {
  domain: string
  clientId: string
  clientSecret: string
}

/** Matches the domains that Auth0 assigns. Auth0 issues no management token for the custom domain of a tenant. */
const CANONICAL_DOMAIN = /\.auth0(app)?\.com$/

/** Creates the error after Auth0 refused to issue a token. */
export function credentialsRefusedError(
  status: number,
  credentials: ApplicationCredentials,
): LastLogoutError {
  const advice =
    status === 403 ? adviceAfterForbidden(credentials) : adviceAfterUnauthorized(credentials)
  const message = `${credentials.domain} refused the client credentials (${status}). ${advice}`
  return new LastLogoutError('AUTH0_CREDENTIALS', message, { status })
}

/** Creates the error after the Management API refused a token that Auth0 has just issued. */
export function tokenRefusedError({
  domain,
  baseUrl,
}: {
  domain: string
  baseUrl: string
}): LastLogoutError {
  const message =
    `${baseUrl} accepted the client credentials, but its Management API refused the token that it issued for them (401). ` +
    `Check that AUTH0_DOMAIN (${domain}) is the canonical domain of the tenant, and that AUTH0_BASE_URL, if set, leads to the same tenant.`
  return new LastLogoutError('AUTH0_CREDENTIALS', message, { status: 401 })
}

function adviceAfterUnauthorized({
  domain,
  clientId,
  clientSecret,
}: ApplicationCredentials): string {
  // Auth0's secrets are longer than its client ids, so a longer id was probably swapped with the secret.
  const swapAdvice =
    clientId.length > clientSecret.length
      ? ' The id is longer than the secret: they may be swapped.'
      : ''
  return (
    `Check AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET (Dashboard > Applications > the machine-to-machine application > Settings), ` +
    `and that this application belongs to the tenant ${domain}.${swapAdvice}`
  )
}

/**
 * Returns advice for each cause of a 403: the application is not authorized, it is not a machine-to-machine application,
 * or the domain is a custom domain.
 */
function adviceAfterForbidden({ domain }: ApplicationCredentials): string {
  const domainAdvice = CANONICAL_DOMAIN.test(domain)
    ? ''
    : `If ${domain} is a custom domain, set AUTH0_DOMAIN to the canonical one, such as example.eu.auth0.com ` +
      '(Dashboard > Applications > the application > Settings > Domain): the Management API is at no other domain. '
  return `${domainAdvice}Check that the application of AUTH0_CLIENT_ID is authorized for the Auth0 Management API (Dashboard > Applications > the application > APIs), and that its grant types contain Client Credentials (Dashboard > Applications > the application > Settings > Advanced Settings > Grant Types), as those of a machine-to-machine application do.`
}
