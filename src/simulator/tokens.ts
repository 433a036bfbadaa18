import { randomBytes } from 'node:crypto'
import { insufficientScope, unauthorized } from './errors.js'

/** The machine-to-machine application that may ask for a token. */
export interface Credentials {
  clientId: string
  clientSecret: string
}

/** How the tenant gives out management tokens. */
export interface TokenOptions {
  domain: string
  credentials: Credentials
  /** The scopes of each token. */
  scopes: readonly string[]
  /** How long a token lives. */
  expiresInSeconds: number
  now: () => number
  /** Called after each successful exchange. */
  onExchange: (audience: string, scope: string) => void
}

/** The answer of `POST /oauth/token`. */
interface TokenAnswer {
  readonly status: number
  readonly body: object
}

/** Gives out management tokens and checks them. */
export interface Tokens {
  /** Answers a client-credentials grant. */
  exchange(body: unknown): TokenAnswer
  /** Throws an `ApiError` unless this `Authorization` header carries a valid token with the scope. */
  assertAuthorized(header: string | undefined, scope: string): void
}

/**
 * The token endpoint of a tenant.
 * @see https://auth0.com/docs/secure/tokens/access-tokens/management-api-access-tokens
 */
export function createTokens(options: TokenOptions): Tokens {
  const { domain, credentials, scopes, expiresInSeconds, now, onExchange } = options
  const audience = `https://${domain}/api/v2/`
  const expiries = new Map<string, number>()

  function issue(): TokenAnswer {
    const token = randomBytes(32).toString('base64url')
    const scope = scopes.join(' ')
    expiries.set(token, now() + expiresInSeconds * 1000)
    onExchange(audience, scope)
    const body = { access_token: token, scope, expires_in: expiresInSeconds, token_type: 'Bearer' }
    return { status: 200, body }
  }

  function exchange(body: unknown): TokenAnswer {
    const asked = isRecord(body) ? body : {}
    if (asked.grant_type !== 'client_credentials') {
      return refuse(403, 'unsupported_grant_type', `Unsupported grant type: ${asked.grant_type}`)
    }
    const { clientId, clientSecret } = credentials
    if (asked.client_id !== clientId || asked.client_secret !== clientSecret) {
      return refuse(401, 'access_denied', 'Unauthorized')
    }
    if (asked.audience !== audience) {
      return refuse(403, 'access_denied', `Service not found: ${asked.audience}`)
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

  return { exchange, assertAuthorized }
}

function refuse(status: number, error: string, description: string): TokenAnswer {
  return { status, body: { error, error_description: description } }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
