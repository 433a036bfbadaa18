import {
  chooseForm,
  isAbout,
  isOwnNotFound,
  lastLogoutPath,
  type RequestedIds,
  type RequestForm,
} from '../rules/last-logout-request.js'
import { LastLogoutClientError } from './errors.js'
import type { Settings } from './options.js'
import { readText, request, statusError } from './request.js'
import type { LastLogoutJson } from './wire.js'

/** Requests a user's last logout. Rejects with a `LastLogoutClientError` unless the response is about these ids. */
export type LastLogoutRequest = (ids: RequestedIds) => Promise<LastLogoutJson>

/**
 * Requests last logouts by `GET /v1/last-logout`. A service of 0.1.0 does not have that path: from
 * its first 404 on, the older path is used, and for ten minutes nothing else is tried.
 *
 * @param now - The time of day in milliseconds.
 */
export function createLastLogoutRequest(
  settings: Pick<Settings, 'url' | 'apiKey' | 'timeoutMs'>,
  now: () => number = Date.now,
): LastLogoutRequest {
  let queryFormMissingAt: number | null = null

  async function send(ids: RequestedIds, form: RequestForm, signal: AbortSignal) {
    const options = { accept: 'application/json', signal, statuses: [200, 404] }
    const response = await request(settings, lastLogoutPath(ids, form), options)
    return { status: response.status, text: await readBody(response, signal) }
  }

  return async (ids) => {
    const signal = AbortSignal.timeout(settings.timeoutMs)
    const form = chooseForm(queryFormMissingAt, now())
    let response = await send(ids, form, signal)
    if (form === 'query' && response.status === 404 && isOwnNotFound(response.text)) {
      queryFormMissingAt = now()
      response = await send(ids, 'path', signal)
    }
    if (response.status !== 200) throw statusError(response.status, settings.url)
    return readAbout(ids, response.text)
  }
}

async function readBody(response: Response, signal: AbortSignal): Promise<string> {
  let text = ''
  try {
    for await (const part of readText(response, signal)) text += part
  } catch (error) {
    throw new LastLogoutClientError('UNAVAILABLE', 'a response broke off, or came too late', error)
  }
  return text
}

/** The message of an error of `JSON.parse` quotes the text, and with it a user: it is not kept. */
function readAbout(ids: RequestedIds, text: string): LastLogoutJson {
  let json: LastLogoutJson
  try {
    json = JSON.parse(text)
  } catch {
    throw new LastLogoutClientError('NOT_UNDERSTOOD', 'a response that is not JSON')
  }
  if (isAbout(json, ids)) return json
  const message = 'a response about another user or session: a proxy may rewrite the URL'
  throw new LastLogoutClientError('NOT_UNDERSTOOD', message)
}
