import { LastLogoutError } from '../errors.js'
import { credentialsRefusedError } from './credentials-refused.js'
import { TokenRefused } from './management-errors.js'
import { createSdkClient, type ManagementApiOptions, type SdkRequest } from './sdk-client.js'

/** Minimum interval between two renewals of a refused token. Each renewal adds an entry to the tenant log. */
const MIN_RENEWAL_INTERVAL_MS = 60_000

/** A response, including its complete body. */
interface ApiResponse {
  status: number
  headers: Headers
  body: string
}

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

/** Creates access to the Management API with Auth0's SDK, which requests and caches the token. */
export function createManagementApi(options: ManagementApiOptions): ManagementApi {
  let sdk = createSdkClient(options)
  let renewedAt = Number.NEGATIVE_INFINITY

  async function call<T>(scope: string, request: SdkRequest<T>, signal: AbortSignal): Promise<T> {
    try {
      return await sdk.send(request, signal)
    } catch (error) {
      if (!(error instanceof TokenRefused)) throw error
      if (performance.now() - renewedAt <= MIN_RENEWAL_INTERVAL_MS)
        throw toRefusal(error, scope, options)
    }
    renewedAt = performance.now()
    sdk = createSdkClient(options)
    return sdk.send(request, signal).catch((error) => {
      throw error instanceof TokenRefused ? toRefusal(error, scope, options) : error
    })
  }

  return {
    call,
    get: (path, signal) =>
      call(
        'read:logs and read:logs_users',
        async (client, readText) => {
          // The URL is absolute, because the SDK escapes the question mark of a relative URL.
          const response = await client.fetch(`https://${options.domain}/api/v2/${path}`, {})
          const { status, headers } = response
          return { status, headers, body: readText() }
        },
        signal,
      ),
  }
}

function toRefusal(
  { status }: TokenRefused,
  scope: string,
  options: ManagementApiOptions,
): LastLogoutError {
  if (status === 401) return credentialsRefusedError(status, options)
  return new LastLogoutError(
    'AUTH0_SCOPE',
    `The application lacks ${scope} at ${options.domain}. Grant it this scope of the Auth0 Management API ` +
      '(Dashboard > Applications > the application > APIs).',
    { status },
  )
}
