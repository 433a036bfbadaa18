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

/** The error of a failed request. `status` is the status of the response; 0: there was no response. */
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
  const response = await fetch(path, { ...init, headers }).catch(() => {
    throw new RequestError(0, 'no response: check that the API is running')
  })
  const content = await response.json().catch(() => ({}))
  if (response.ok) return content
  throw new RequestError(response.status, content.message ?? `status ${response.status}`)
}
