import { LastLogoutError } from '../errors.js'

/** The credentials of an application, and the configured domain of the tenant. */
export interface ApplicationCredentials {
  domain: string
  clientId: string
  clientSecret: string
}

/** Matches the domains that Auth0 assigns. Auth0 issues no management token for the custom domain of a tenant. */
const CANONICAL_DOMAIN = /\.auth0(app)?\.com$/

/** Creates the error after Auth0 refused to issue a token, or the Management API refused a token. */
export function credentialsRefusedError(
  status: number,
  credentials: ApplicationCredentials,
): LastLogoutError {
  const advice =
    status === 403 ? adviceAfterForbidden(credentials) : adviceAfterUnauthorized(credentials)
  const message = `${credentials.domain} refused the client credentials (${status}). ${advice}`
  return new LastLogoutError('AUTH0_CREDENTIALS', message, { status })
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

/** Returns advice for both causes of a 403: the application has no grant, or the domain is a custom domain. */
function adviceAfterForbidden({ domain }: ApplicationCredentials): string {
  const domainAdvice = CANONICAL_DOMAIN.test(domain)
    ? ''
    : `If ${domain} is a custom domain, set AUTH0_DOMAIN to the canonical one, such as example.eu.auth0.com ` +
      '(Dashboard > Applications > the application > Settings > Domain): the Management API is at no other domain. '
  return `${domainAdvice}Check that the application of AUTH0_CLIENT_ID is authorized for the Auth0 Management API (Dashboard > Applications > the application > APIs).`
}
