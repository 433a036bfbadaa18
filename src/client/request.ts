import { invalidResponse, LastLogoutClientError } from './errors.js'
import { createUtf8Decoder } from './utf8-decoder.js'

/** The URL of the service, and the key for its requests. */
export interface RequestOptions {
  /** The URL, with a final slash. */
  url: string
  apiKey: string
}

/**
 * Sends a request to the service.
 *
 * @param statuses The accepted statuses. Default: 200.
 * @throws `LastLogoutClientError` for any other status, or if the service is unreachable.
 */
export async function request(
  { url, apiKey }: RequestOptions,
  path: string,
  {
    accept,
    signal,
    statuses = [200],
  }: { accept: string; signal: AbortSignal; statuses?: readonly number[] },
): Promise<Response> {
  const response = await fetch(new URL(path, url), {
    headers: {
      authorization: `Bearer ${apiKey}`,
      accept,
      // A proxy that compresses a response can also buffer its events.
      'accept-encoding': 'identity',
    },
    // The target of a redirect must not receive the key. Some runtimes do not support the alternative, 'error'.
    redirect: 'manual',
    signal,
  }).catch((error) => {
    const message = `cannot connect to ${url} (${reasonOf(error)}): check that last-logout is running and reachable there`
    throw new LastLogoutClientError('UNAVAILABLE', message, error)
  })
  if (statuses.includes(response.status)) return response
  await response.body?.cancel()
  throw statusError(response.status, url, readRetryAfterMs(response.headers))
}

/**
 * Reads the body of a response in pieces. An abort of `signal` ends the reading, even though `fetch` has the same
 * signal: in Node.js 20, `fetch` can lose its signal in a garbage collection.
 *
 * @param onText Called with each piece. If it returns a promise, the next piece is read after this promise has resolved.
 *   An async generator would be simpler, but takes longer for each event of the feed.
 */
export async function readText(
  response: Response,
  signal: AbortSignal,
  onText: (text: string) => Promise<void> | void,
): Promise<void> {
  const reader = response.body?.getReader()
  if (reader === undefined) return
  const cancel = () => void reader.cancel().catch(() => {})
  signal.addEventListener('abort', cancel)
  try {
    const decode = createUtf8Decoder()
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
      const pause = onText(decode(chunk.value))
      if (pause !== undefined) await pause
    }
    signal.throwIfAborted()
  } finally {
    signal.removeEventListener('abort', cancel)
    cancel()
  }
}

/** Reads `Retry-After` in seconds (RFC 9110 §10.2.3). Ignores a date, because clocks can differ. */
function readRetryAfterMs(headers: Headers): number | undefined {
  const seconds = headers.get('retry-after') ?? ''
  return /^\d{1,9}$/.test(seconds) ? 1000 * Number(seconds) : undefined
}

/** Creates the error of a response with an unexpected status. */
export function statusError(
  status: number,
  url: string,
  retryAfterMs?: number,
): LastLogoutClientError {
  if (status === 401) {
    const message = `${url} rejected the API key (status 401): add it to API_KEYS of last-logout`
    return new LastLogoutClientError('UNAUTHORIZED', message)
  }
  if (status === 403) {
    const message = `${url} denied the request (status 403): give the key the roles feed and read in API_KEYS of last-logout`
    return new LastLogoutClientError('UNAUTHORIZED', message)
  }
  // In browsers, `fetch` returns the status 0 for a redirect.
  if (status === 0 || (status >= 300 && status < 400)) {
    const message = `${url} redirected the request${status === 0 ? '' : ` (status ${status})`}, and the client does not follow redirects: set url to the address of last-logout itself`
    return new LastLogoutClientError('UNAVAILABLE', message)
  }
  if (status >= 500 || status === 429) {
    const message = `${url} is unavailable (status ${status}): see the log of last-logout`
    return new LastLogoutClientError('UNAVAILABLE', message, undefined, retryAfterMs)
  }
  return invalidResponse(
    `${url} responded with status ${status}: check that url is the address of last-logout, and that its version is not older than this client's`,
  )
}

/**
 * Returns the code of the cause of an error, else the name of the error. Does not return the message, because a message
 * of `fetch` can quote the key.
 */
export function reasonOf(error: unknown): string {
  const { cause, name } = Object(error)
  return String(Object(cause).code ?? name)
}
