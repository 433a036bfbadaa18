import type { Instant } from '../rules/instant.js'
import {
  chooseForm,
  isAbout,
  isOwnNotFound,
  lastLogoutPath,
  type RequestForm,
} from '../rules/last-logout-request.js'
import { type LastLogoutResponse, readLastLogoutResponse } from '../rules/last-logout-response.js'
import type { LoginSubject } from './event.js'
import type { ActionSettings } from './settings.js'

/** Maximum length of a response, in UTF-16 code units. A typical response has about 500 code units. */
const MAX_RESPONSE_LENGTH = 64 * 1024

/**
 * Codes of errors after which a request is sent again once. While Auth0 suspends the runtime between two runs, the
 * service can close the connection of the first run. On Node 18, the request of the second run then fails.
 */
const CLOSED_CONNECTION_CODES = new Set<unknown>(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'])

/** An error of `fetch`. */
type FetchError = Error & { cause?: { code?: string } }

/** The error of a failed lookup. The message contains neither the key nor the user. */
export class LookupError extends Error {
  override readonly name = 'LookupError'
}

/**
 * The service that rejected a request with the ids in the query (the query form), and the time of the rejection.
 * Services of release 0.1.0 accept the ids only in the path (the path form). This variable saves later logins the
 * rejected request. The variable lives as long as the runtime keeps this module.
 */
let rejectedQueryForm: { url: string; at: Instant } | null = null

/**
 * Requests the last logout of a user and a session from last-logout.
 *
 * @throws `LookupError` if no valid response arrives within `timeoutMs`.
 */
export async function lookUp(
  settings: ActionSettings,
  subject: LoginSubject,
): Promise<LastLogoutResponse> {
  const { url, apiKey, timeoutMs } = settings
  if (url === null) throw new LookupError('LAST_LOGOUT_URL is missing or invalid')
  const controller = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  // A request could ignore the signal. The login must not wait for such a request, so the timeout itself rejects.
  const timeout = new Promise<never>((_resolve, reject) => {
    const error = new LookupError(`no response within ${timeoutMs} ms`)
    timer = setTimeout(() => reject(error), timeoutMs)
  })
  try {
    return await Promise.race([
      requestLastLogout({ url, apiKey, signal: controller.signal }, subject),
      timeout,
    ])
  } finally {
    clearTimeout(timer)
    controller.abort()
  }
}

interface Service {
  /** The URL of the service, which ends in a slash. */
  url: string
  apiKey: string
  signal: AbortSignal
}

/** Sends a request in the query form. If the service is of release 0.1.0, repeats the request in the path form. */
async function requestLastLogout(
  service: Service,
  subject: LoginSubject,
): Promise<LastLogoutResponse> {
  const { url } = service
  const queryRejectedAt = rejectedQueryForm?.url === url ? rejectedQueryForm.at : null
  const form = chooseForm(queryRejectedAt, Date.now())
  let response = await send(service, subject, form)
  if (form === 'query' && response.status === 404 && isOwnNotFound(response.text)) {
    rejectedQueryForm = { url, at: Date.now() }
    response = await send(service, subject, 'path')
  }
  if (response.status !== 200) throw new LookupError(describeStatus(response.status))
  return readResponse(response.text, subject)
}

async function send({ url, apiKey, signal }: Service, subject: LoginSubject, form: RequestForm) {
  const headers = { authorization: `Bearer ${apiKey}`, accept: 'application/json' }
  const target = new URL(lastLogoutPath(subject, form), url)
  // A redirect is not followed, because its target must not receive the key.
  const request = () => fetch(target, { headers, redirect: 'manual', signal })
  const retryIfClosed = (error: FetchError) => {
    if (CLOSED_CONNECTION_CODES.has(error.cause?.code)) return request()
    throw error
  }
  const response = await request()
    .catch(retryIfClosed)
    .catch((error: FetchError) => {
      // The message of a `fetch` error is not used, because it can quote a header with the key.
      throw new LookupError(`unreachable (${error.cause?.code ?? error.name})`)
    })
  const { status } = response
  return { status, text: status === 200 || status === 404 ? await readText(response) : '' }
}

function describeStatus(status: number): string {
  if (status === 401) return 'status 401: probably the service does not accept LAST_LOGOUT_API_KEY'
  if (status === 403)
    return 'status 403: probably the key in LAST_LOGOUT_API_KEY does not have the role read'
  if ([301, 302, 303, 307, 308].includes(status))
    return `status ${status}: LAST_LOGOUT_URL leads to a redirect, which is not followed`
  return `status ${status}`
}

async function readText(response: Response): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true })
    if (text.length > MAX_RESPONSE_LENGTH) throw new LookupError('the response is too long')
  }
  return text
}

function readResponse(text: string, subject: LoginSubject): LastLogoutResponse {
  const json = parseJson(text)
  if (!isAbout(json, subject)) {
    throw new LookupError('the response is about another user or session')
  }
  const response = readLastLogoutResponse(json)
  if (!('invalidField' in response)) return response
  throw new LookupError(`${response.invalidField} in the response is missing or malformed`)
}

/** Parses JSON. Replaces the error of `JSON.parse`, because its message quotes the text, which contains a user id. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new LookupError('the response is not JSON')
  }
}
