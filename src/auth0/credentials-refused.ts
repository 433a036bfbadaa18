import { LastLogoutError } from '../errors.js'

/** The credentials of an application, and the tenant's domain as configured. */
export interface ApplicationCredentials {
  domain: string
  clientId: string
  clientSecret: string
}

/** Domains that Auth0 assigns. A tenant can also be reached at a custom domain, for which no management token exists. */
const CANONICAL_DOMAIN = /\.auth0(app)?\.com$/

/** The error where the tenant issues no token, or its API refuses the one it issued. */
export function credentialsRefused(
  status: number,
  refused: ApplicationCredentials,
): LastLogoutError {
  const message = `${refused.domain} refused the client credentials (${status}). ${status === 403 ? adviceAfterForbidden(refused) : adviceAfterUnauthorized(refused)}`
  return new LastLogoutError('AUTH0_CREDENTIALS', message, { status })
}

function adviceAfterUnauthorized({
  domain,
  clientId,
  clientSecret,
}: ApplicationCredentials): string {
  // Auth0's secrets are longer than its ids.
  const swapped =
    clientId.length > clientSecret.length
      ? ' The id is longer than the secret: they may be swapped.'
      : ''
  return (
    `Check AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET (Dashboard > Applications > the machine-to-machine application > Settings), ` +
    `and that this application belongs to the tenant ${domain}.${swapped}`
  )
}

/** Auth0 responds alike to an application without a grant and to a custom domain. */
function adviceAfterForbidden({ domain }: ApplicationCredentials): string {
  const custom = CANONICAL_DOMAIN.test(domain)
    ? ''
    : `If ${domain} is a custom domain, set AUTH0_DOMAIN to the canonical one, such as example.eu.auth0.com ` +
      '(Dashboard > Applications > the application > Settings > Domain): the Management API has no other. '
  return `${custom}Check that the application of AUTH0_CLIENT_ID is authorized for the Auth0 Management API (Dashboard > Applications > the application > APIs).`
}
