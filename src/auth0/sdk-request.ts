import type { ManagementClient, ManagementError } from 'auth0'
import { LastLogoutError } from '../errors.js'
import { badStatusError, isWord, rateLimitError, translateFetchError } from './management-errors.js'
import type { SendRequest, TenantConnection } from './request.js'

/** One call of a method of Auth0's SDK. */
export type SdkRequest<T> = (client: ManagementClient) => Promise<T>

/** The token and the signal of a request, and the function that sends it. */
interface SdkConnection {
  token: string
  signal: AbortSignal
  send: SendRequest
}

/** The status from which the SDK sees that there is no response. No server uses this status. */
const NO_RESPONSE = 599

/**
 * Sends one request with a method of Auth0's SDK. Loads the SDK at the first call, because the SDK takes more than
 * 30 MB of memory, and the worker does not use it.
 *
 * @throws The errors of `send`; `AUTH0_RATE_LIMIT` after a 429; `AUTH0_UNAVAILABLE` after a status of at least 500;
 *   `AUTH0_REFUSED` after another status from 400 to 499.
 */
export async function sendWithSdk<T>(
  request: SdkRequest<T>,
  { token, signal, send }: SdkConnection,
  options: TenantConnection,
): Promise<T> {
  const { ManagementClient } = await import('auth0')
  const { domain } = options
  let failure: unknown
  const client = new ManagementClient({
    domain,
    token,
    maxRetries: 0,
    // This function must not reject. Otherwise the SDK would leave a timer running, which keeps the process alive.
    fetch: async (url, init) => {
      try {
        const path = String(url).replace(`https://${domain}`, '')
        const { status, headers, body } = await send(path, { ...init, signal })
        return new Response(body === '' ? null : body, { status, headers })
      } catch (error) {
        failure = error
        return new Response(null, { status: NO_RESPONSE })
      }
    },
  })
  try {
    return await request(client)
  } catch (error) {
    throw failure ?? translateSdkError(error, options)
  }
}

/** Converts an error of the SDK. The SDK's error is not kept as the cause, because it contains the complete body. */
function translateSdkError(error: unknown, options: TenantConnection): Error {
  const { statusCode: status, rawResponse, body }: Partial<ManagementError> = Object(error)
  if (status === undefined || rawResponse === undefined) {
    // The message of a SyntaxError quotes the body, which can contain the token.
    return translateFetchError(error instanceof SyntaxError ? undefined : error, options)
  }
  if (status === 429) return rateLimitError('A request', rawResponse.headers)
  if (status >= 500) return badStatusError(`A request to ${options.baseUrl}`, status)
  const message = `Auth0 refused a request (${status}${readErrorCode(body)}). See the log of the tenant for the reason.`
  return new LastLogoutError('AUTH0_REFUSED', message, { status })
}

/** Reads the `errorCode` of a body. The `message` of the body is not shown, because it can quote the request. */
function readErrorCode(body: unknown): string {
  const { errorCode } = Object(body)
  return isWord(errorCode) ? ` ${errorCode}` : ''
}
