import { LastLogoutClientError } from './errors.js'

/** How the service is asked. */
export interface RequestOptions {
  /** Ends in a slash. */
  url: string
  apiKey: string
}

/** Sends a request. Rejects with a `LastLogoutClientError` unless the response has one of `statuses`, by default 200. */
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
      // A proxy that compresses may hold events back.
      'accept-encoding': 'identity',
    },
    // Whoever redirects is not the service, and shall not be sent the key.
    redirect: 'error',
    signal,
  }).catch((error) => {
    throw new LastLogoutClientError('UNAVAILABLE', `${url} cannot be reached`, error)
  })
  if (statuses.includes(response.status)) return response
  await response.body?.cancel()
  throw statusError(response.status, url)
}

/**
 * Reads an answer's body as it comes. Not by the signal of `fetch` alone: on Node 20 that can be
 * forgotten at a garbage collection, and the reading would never end.
 */
export async function* readText(response: Response, signal: AbortSignal): AsyncGenerator<string> {
  const reader = response.body?.getReader()
  if (reader === undefined) return
  const cancel = () => void reader.cancel().catch(() => {})
  signal.addEventListener('abort', cancel)
  try {
    const decoder = new TextDecoder()
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      yield decoder.decode(part.value, { stream: true })
    }
    signal.throwIfAborted()
  } finally {
    signal.removeEventListener('abort', cancel)
    cancel()
  }
}

/** The error of a response that has another status than expected. */
export function statusError(status: number, url: string): LastLogoutClientError {
  if (status === 401 || status === 403) {
    const message =
      status === 401
        ? `${url} does not know the key: see API_KEYS there`
        : `${url} refuses the key: give it the roles feed and read in API_KEYS there`
    return new LastLogoutClientError('UNAUTHORIZED', message)
  }
  return status >= 500 || status === 429
    ? new LastLogoutClientError('UNAVAILABLE', `${url} answers with ${status}`)
    : new LastLogoutClientError(
        'NOT_UNDERSTOOD',
        `${url} answers with ${status}: it is not a last-logout of this version`,
      )
}
