import { randomBytes } from 'node:crypto'
import { insufficientScope, unauthorized } from './errors.js'

/** The client credentials of a machine-to-machine application. */
export interface ClientCredentials {
  clientId: string
  clientSecret: string
}

/** Options of {@link createTokenIssuer}. */
export interface TokenIssuerOptions {
  domain: string
  credentials: ClientCredentials
  /** The scopes of each token. */
  scopes: readonly string[]
  /** The lifetime of a token, in seconds. */
  expiresInSeconds: number
  now: () => number
  /** Called for each issued token. */
  onTokenIssued: (audience: string, scope: string) => void
}

/** The response of `POST /oauth/token`. */
interface TokenResponse {
  readonly status: number
  readonly body: object
}

/** Issues and verifies management tokens. */
export interface TokenIssuer {
  /** Returns the response to a token request. The only grant type is `client_credentials`. */
  respondToTokenRequest(body: unknown): TokenResponse
  /** Throws an `ApiError` unless the `Authorization` header contains a valid token with the scope. */
  assertAuthorized(header: string | undefined, scope: string): void
}

/**
 * Creates the issuer of the management tokens of a tenant.
 *
 * @see https://auth0.com/docs/secure/tokens/access-tokens/management-api-access-tokens
 */
export function createTokenIssuer(options: TokenIssuerOptions): TokenIssuer {
  const { domain, credentials, scopes, expiresInSeconds, now, onTokenIssued } = options
  const audience = `https://${domain}/api/v2/`
  const expiries = new Map<string, number>()

  function issue(): TokenResponse {
    const token = randomBytes(32).toString('base64url')
    const scope = scopes.join(' ')
    expiries.set(token, now() + expiresInSeconds * 1000)
    onTokenIssued(audience, scope)
    const body = { access_token: token, scope, expires_in: expiresInSeconds, token_type: 'Bearer' }
    return { status: 200, body }
  }

  function respondToTokenRequest(body: unknown): TokenResponse {
    const grant = isRecord(body) ? body : {}
    if (grant.grant_type !== 'client_credentials') {
      return refuse(403, 'unsupported_grant_type', `Unsupported grant type: ${grant.grant_type}`)
    }
    const { clientId, clientSecret } = credentials
    if (grant.client_id !== clientId || grant.client_secret !== clientSecret) {
      return refuse(401, 'access_denied', 'Unauthorized')
    }
    if (grant.audience !== audience) {
      return refuse(403, 'access_denied', `Service not found: ${grant.audience}`)
    }
    return issue()
  }

  function assertAuthorized(header: string | undefined, scope: string): void {
    if (header === undefined) throw unauthorized('Missing authentication')
    const expiry = expiries.get(/^Bearer (\S+)$/i.exec(header)?.[1] ?? '')
    if (expiry === undefined) throw unauthorized('Invalid token')
    if (expiry <= now()) {
      throw unauthorized('Expired token received for JSON Web Token validation')
    }
    if (!scopes.includes(scope)) throw insufficientScope(scope)
  }

  return { respondToTokenRequest, assertAuthorized }
}

function refuse(status: number, error: string, description: string): TokenResponse {
  return { status, body: { error, error_description: description } }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
