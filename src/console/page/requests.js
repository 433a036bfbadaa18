/**
 * Maximum time that a request waits for its response, in milliseconds. It is longer than the API waits for PostgreSQL,
 * so that the API can report an outage of PostgreSQL.
 */
const REQUEST_TIMEOUT_MS = 20_000

const NO_RESPONSE = 'no response of the API: check the API and the network'

/** Replaces the message of the API, which also names the token of a log stream. */
const UNKNOWN_KEY = 'the key is unknown: enter a key of API_KEYS with the roles read and metrics'

/** The key of the operator. It is kept only in the memory of the page. It is neither stored nor a part of a URL. */
let key = null

/** Sets the key of later requests; `null`: discards the key. */
export function setKey(newKey) {
  key = newKey
}

/** Whether the operator has entered a key. */
export function hasKey() {
  return key !== null
}

/** The error of a failed request. `status` is the status of the response; 0: there was no complete response. */
export class RequestError extends Error {
  constructor(status, message) {
    super(message)
    this.status = status
  }
}

/**
 * Sends a request with the key. If there is a body, sends it as JSON with POST.
 *
 * @throws RequestError with the message of the API.
 */
export async function requestWithKey(path, body) {
  const init = body && {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  }
  const headers = { ...init?.headers, authorization: `Bearer ${key}` }
  const signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS)
  const response = await fetch(path, { ...init, headers, signal }).catch(() => null)
  // A response can end in its body. A proxy can respond without JSON.
  const content = (await response?.json().catch(() => null)) ?? null
  if (response?.ok && content !== null) return content
  if (response === null || response.ok) throw new RequestError(0, NO_RESPONSE)
  const { status } = response
  const message = content?.message ?? `the API responded with status ${status}`
  throw new RequestError(status, status === 401 ? UNKNOWN_KEY : message)
}
