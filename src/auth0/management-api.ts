import { LastLogoutError } from '../errors.js'
import { credentialsRefused, TokenRefused } from './management-errors.js'
import { createSdkClient, type ManagementApiOptions, type SdkRequest } from './sdk-client.js'

/** A refused token is replaced at most this often: each new one is an entry in the tenant's log. */
const RENEWAL_INTERVAL_MS = 60_000

/** An answer, read to its end. */
interface Answer {
  status: number
  headers: Headers
  body: string
}

/** The Management API, authenticated. Renews the token when it is refused, as after a scope was granted. */
export interface ManagementApi {
  /**
   * GET `/api/v2/{path}` of the log. Throws `AUTH0_CREDENTIALS`, `AUTH0_SCOPE`, `AUTH0_RATE_LIMIT` (of
   * token requests), `AUTH0_UNAVAILABLE` or `ABORTED`; other answers are returned.
   */
  get(path: string, signal: AbortSignal): Promise<Answer>
  /**
   * One request through a method of the SDK, for which this scope is needed. Throws as `get` does,
   * and `AUTH0_RATE_LIMIT` or `AUTH0_REFUSED` by the answer's status.
   */
  call<T>(scope: string, request: SdkRequest<T>, signal: AbortSignal): Promise<T>
}

/** The Management API through Auth0's SDK, which gets and caches the token. */
export function createManagementApi(options: ManagementApiOptions): ManagementApi {
  let sdk = createSdkClient(options)
  let renewedAt = Number.NEGATIVE_INFINITY

  async function call<T>(scope: string, request: SdkRequest<T>, signal: AbortSignal): Promise<T> {
    try {
      return await sdk.send(request, signal)
    } catch (error) {
      if (!(error instanceof TokenRefused)) throw error
      if (performance.now() - renewedAt <= RENEWAL_INTERVAL_MS) throw refused(error, scope, options)
    }
    renewedAt = performance.now()
    sdk = createSdkClient(options)
    return sdk.send(request, signal).catch((error) => {
      throw error instanceof TokenRefused ? refused(error, scope, options) : error
    })
  }

  return {
    call,
    get: (path, signal) =>
      call(
        'read:logs and read:logs_users',
        async (client) => {
          // An absolute URL: of a relative one the SDK escapes the question mark.
          const response = await client.fetch(`https://${options.domain}/api/v2/${path}`, {})
          const { status, headers } = response
          return { status, headers, body: await response.text() }
        },
        signal,
      ),
  }
}

function refused(
  { status }: TokenRefused,
  scope: string,
  options: ManagementApiOptions,
): LastLogoutError {
  if (status === 401) return credentialsRefused(status, options)
  return new LastLogoutError(
    'AUTH0_SCOPE',
    `the application lacks ${scope} at ${options.domain}: grant it that of the Auth0 Management API ` +
      '(Dashboard > Applications > the application > APIs)',
    { status },
  )
}
