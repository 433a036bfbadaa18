import { LastLogoutClientError } from './errors.js'

/** How the service is asked. */
export interface RequestOptions {
  /** Ends in a slash. */
  url: string
  apiKey: string
}

/** Asks the service. Throws a `LastLogoutClientError` unless it answers with 200. */
export async function request(
  { url, apiKey }: RequestOptions,
  path: string,
  { accept, signal }: { accept: string; signal: AbortSignal },
): Promise<Response> {
  const response = await fetch(new URL(path, url), {
    headers: { authorization: `Bearer ${apiKey}`, accept },
    // Whoever redirects is not the service, and shall not be sent the key.
    redirect: 'error',
    signal,
  }).catch((error) => {
    throw new LastLogoutClientError('UNAVAILABLE', `${url} cannot be reached`, error)
  })
  if (response.status === 200) return response
  await response.body?.cancel()
  throw toError(response.status, url)
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

function toError(status: number, url: string): LastLogoutClientError {
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
