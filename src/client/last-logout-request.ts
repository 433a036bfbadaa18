import type { Instant } from '../rules/instant.js'
import {
  chooseForm,
  isAbout,
  isOwnNotFound,
  lastLogoutPath,
  type RequestedIds,
  type RequestForm,
} from '../rules/last-logout-request.js'
import { type LastLogoutResponse, readLastLogoutResponse } from '../rules/last-logout-response.js'
import { invalidResponse, LastLogoutClientError } from './errors.js'
import type { ClientSettings } from './options.js'
import { readText, reasonOf, request, statusError } from './request.js'
import { settleWithin } from './settle-within.js'

/**
 * Requests the last logouts of a user and a session.
 *
 * @throws `LastLogoutClientError` if the service sends no valid response about these ids.
 */
export type LastLogoutRequest = (ids: RequestedIds) => Promise<LastLogoutResponse>

/**
 * Creates a function that sends `GET /v1/last-logout`. A service of release 0.1.0 does not know this path and responds
 * with 404. For ten minutes after such a response, the function uses the path of release 0.1.0.
 *
 * @param now The wall clock, in milliseconds since the epoch.
 */
export function createLastLogoutRequest(
  settings: Pick<ClientSettings, 'url' | 'apiKey' | 'timeoutMs'>,
  now: () => Instant = Date.now,
): LastLogoutRequest {
  /** When the service last rejected the path of this release, the query form; `null`: never. */
  let queryRejectedAt: Instant | null = null

  async function send(ids: RequestedIds, form: RequestForm, signal: AbortSignal) {
    const options = { accept: 'application/json', signal, statuses: [200, 404] }
    const response = await request(settings, lastLogoutPath(ids, form), options)
    return { status: response.status, text: await readBody(response, settings, signal) }
  }

  async function sendWithFallback(ids: RequestedIds, signal: AbortSignal) {
    const form = chooseForm(queryRejectedAt, now())
    let response = await send(ids, form, signal)
    if (form === 'query' && response.status === 404 && isOwnNotFound(response.text)) {
      queryRejectedAt = now()
      response = await send(ids, 'path', signal)
    }
    if (response.status !== 200) throw statusError(response.status, settings.url)
    return readResponse(ids, response.text, settings.url)
  }

  return (ids) =>
    settleWithin(
      settings.timeoutMs,
      (signal) => sendWithFallback(ids, signal),
      () => timeoutError(settings),
    )
}

function timeoutError({ url, timeoutMs }: Pick<ClientSettings, 'url' | 'timeoutMs'>) {
  const message = `${url} did not respond within ${timeoutMs} ms (timeoutMs): check that last-logout is running and reachable there`
  return new LastLogoutClientError('UNAVAILABLE', message)
}

async function readBody(
  response: Response,
  { url }: Pick<ClientSettings, 'url'>,
  signal: AbortSignal,
): Promise<string> {
  let text = ''
  try {
    await readText(response, signal, (piece) => {
      text += piece
    })
  } catch (error) {
    const message = `the response of ${url} was incomplete (${reasonOf(error)}): check that no proxy cuts it off`
    throw new LastLogoutClientError('UNAVAILABLE', message, error)
  }
  return text
}

function readResponse(ids: RequestedIds, text: string, url: string): LastLogoutResponse {
  const json = parseJson(text, url)
  if (!isAbout(json, ids)) {
    throw invalidResponse(
      `the response of ${url} is about another user or session than requested: check whether a proxy rewrites the URL`,
    )
  }
  const response = readLastLogoutResponse(json)
  if (!('invalidField' in response)) return response
  throw invalidResponse(
    `the field ${response.invalidField} in the response of ${url} is missing or malformed: check that url is the address of last-logout`,
  )
}

/**
 * Parses a response. Drops the error of `JSON.parse`, because its message quotes the text, and the text contains a user
 * id.
 */
function parseJson(text: string, url: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw invalidResponse(
      `the response of ${url} is not JSON: check that url is the address of last-logout`,
    )
  }
}
