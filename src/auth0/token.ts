import { unlessAborted } from '../async/abort.js'
import { hasCode } from '../errors.js'
import { canBeSent } from '../rules/api-key.js'
import { noTokenError } from './management-errors.js'
import { type ApiResponse, type SendRequest, type TenantConnection, TOKEN_PATH } from './request.js'

/** How long before its expiry a token is no longer used, in milliseconds. */
const EXPIRY_MARGIN_MS = 10_000

/** Options of {@link createTokenSource}. */
export interface TokenOptions extends TenantConnection {
  /** Called with the scopes of each token that Auth0 issues; `null`: the response contains no scopes. */
  onGrant?: (scopes: string[] | null) => void
}

/**
 * Returns the access token of the Management API.
 *
 * @throws The errors of {@link SendRequest}.
 */
export type TokenSource = (signal: AbortSignal) => Promise<string>

/** An issued token, and the time of `Date.now()` from which it is no longer used. */
interface Token {
  value: string
  usableUntil: number
}

/** Creates a source that requests one token, and caches it until it is about to expire. */
export function createTokenSource(send: SendRequest, options: TokenOptions): TokenSource {
  let token: Token | undefined
  let pending: Promise<Token> | undefined

  async function request(signal: AbortSignal): Promise<Token> {
    try {
      token = await requestToken(send, options, signal)
      return token
    } finally {
      pending = undefined
    }
  }

  return async function getToken(signal) {
    if (token !== undefined && Date.now() < token.usableUntil) return token.value
    // Concurrent callers share one request, and its error.
    pending ??= request(signal)
    try {
      return (await unlessAborted(pending, signal)).value
    } catch (error) {
      // If the caller that sent the request was aborted, this caller sends its own request.
      if (hasCode(error, 'ABORTED') && !signal.aborted) return getToken(signal)
      throw error
    }
  }
}

/** Requests a token with the client credentials (RFC 6749 §4.4). */
async function requestToken(
  send: SendRequest,
  options: TokenOptions,
  signal: AbortSignal,
): Promise<Token> {
  const { domain, baseUrl, clientId, clientSecret, onGrant } = options
  const body = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: clientId,
    client_secret: clientSecret,
    audience: `https://${domain}/api/v2/`,
  })
  const response = await send(TOKEN_PATH, { method: 'POST', body, signal })
  const { access_token: value, expires_in: expiresIn, scope, error } = readFields(response)
  if (typeof value !== 'string' || !canBeSent(value)) {
    throw noTokenError(baseUrl, response.headers, error)
  }
  onGrant?.(typeof scope === 'string' ? scope.split(' ').filter((name) => name !== '') : null)
  // A token without `expires_in` is used until Auth0 refuses it.
  const lifetimeMs = typeof expiresIn === 'number' ? expiresIn * 1000 : Number.POSITIVE_INFINITY
  return { value, usableUntil: Date.now() + lifetimeMs - EXPIRY_MARGIN_MS }
}

function readFields({ body }: ApiResponse): Record<string, unknown> {
  try {
    return Object(JSON.parse(body))
  } catch {
    return {}
  }
}
