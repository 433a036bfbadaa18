import { withAbort } from '../async/abort.js'
import { abortedError, LastLogoutError } from '../errors.js'
import { tokenRefusedError } from './credentials-refused.js'
import { TokenRefused, timeoutError } from './management-errors.js'
import { type ApiResponse, createSendRequest } from './request.js'
import { type SdkRequest, sendWithSdk } from './sdk-request.js'
import { createTokenSource, type TokenOptions } from './token.js'

/** Default timeout of one request, in milliseconds. */
const REQUEST_TIMEOUT_MS = 30_000

/** Minimum interval between two renewals of a refused token. Each renewal adds an entry to the tenant log. */
const MIN_RENEWAL_INTERVAL_MS = 60_000

/** Options of {@link createManagementApi}. */
export interface ManagementApiOptions extends TokenOptions {
  /** Timeout of one request, including its body, in milliseconds. Default: 30,000. */
  requestTimeoutMs?: number
}

/** A request with an access token. */
type AuthorizedRequest<T> = (token: string, signal: AbortSignal) => Promise<T>

/**
 * The Management API with authentication. After Auth0 refuses a token, the next request uses a new token, because
 * scopes that were granted later are only in new tokens.
 */
export interface ManagementApi {
  /**
   * Sends `GET /api/v2/{path}` with the scopes of the log.
   *
   * @returns The response. Its status is neither 401 nor 403.
   * @throws `AUTH0_CREDENTIALS`, `AUTH0_SCOPE`, `AUTH0_UNAVAILABLE` or `ABORTED`; `AUTH0_RATE_LIMIT` after a 429 to a
   *   token request; `AUTH0_MALFORMED_PAGE` if the response is too large.
   */
  get(path: string, signal: AbortSignal): Promise<ApiResponse>
  /**
   * Sends one request with a method of Auth0's SDK.
   *
   * @param scope The scope that the request needs. The message of `AUTH0_SCOPE` contains it.
   * @throws The errors of `get`; `AUTH0_RATE_LIMIT` after a 429; `AUTH0_REFUSED` after another status from 400 to 499.
   */
  call<T>(scope: string, request: SdkRequest<T>, signal: AbortSignal): Promise<T>
}

/** Creates access to the Management API. Requests a token when the first request needs it, and caches the token. */
export function createManagementApi(options: ManagementApiOptions): ManagementApi {
  const { requestTimeoutMs = REQUEST_TIMEOUT_MS } = options
  const send = createSendRequest(options)
  let getToken = createTokenSource(send, options)
  let renewedAt = Number.NEGATIVE_INFINITY

  /** Sends a request after a token request, if one is necessary. Both together have one timeout. */
  async function sendOnce<T>(request: AuthorizedRequest<T>, signal: AbortSignal): Promise<T> {
    try {
      return await withAbort(signal, async (controller) => {
        const abort = () => controller.abort(timeoutError(requestTimeoutMs, options))
        const timer = setTimeout(abort, requestTimeoutMs)
        try {
          return await request(await getToken(controller.signal), controller.signal)
        } finally {
          clearTimeout(timer)
        }
      })
    } catch (error) {
      throw signal.aborted ? abortedError(error) : error
    }
  }

  async function sendAuthorized<T>(
    scope: string,
    request: AuthorizedRequest<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const usedSource = getToken
    try {
      return await sendOnce(request, signal)
    } catch (error) {
      if (!(error instanceof TokenRefused)) throw error
      // A concurrent request may already have renewed the refused token.
      if (getToken === usedSource) {
        if (performance.now() - renewedAt <= MIN_RENEWAL_INTERVAL_MS)
          throw toRefusal(error, scope, options)
        renewedAt = performance.now()
        getToken = createTokenSource(send, options)
      }
    }
    return sendOnce(request, signal).catch((error) => {
      throw error instanceof TokenRefused ? toRefusal(error, scope, options) : error
    })
  }

  return {
    get(path, signal) {
      const request: AuthorizedRequest<ApiResponse> = (token, signal) =>
        send(`/api/v2/${path}`, { headers: { authorization: `Bearer ${token}` }, signal })
      return sendAuthorized('read:logs and read:logs_users', request, signal)
    },
    call(scope, sdkRequest, signal) {
      const request = (token: string, signal: AbortSignal) =>
        sendWithSdk(sdkRequest, { token, signal, send }, options)
      return sendAuthorized(scope, request, signal)
    },
  }
}

function toRefusal(
  { status }: TokenRefused,
  scope: string,
  options: ManagementApiOptions,
): LastLogoutError {
  if (status === 401) return tokenRefusedError(options)
  return new LastLogoutError(
    'AUTH0_SCOPE',
    `The application lacks ${scope} at ${options.domain}. Grant it this scope of the Auth0 Management API ` +
      '(Dashboard > Applications > the application > APIs).',
    { status },
  )
}
