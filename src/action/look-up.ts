import { type Instant, readDateTime } from '../rules/instant.js'
import type { KnownLogouts, Policy } from '../rules/judge.js'
import {
  chooseForm,
  isAbout,
  isOwnNotFound,
  lastLogoutPath,
  type RequestForm,
} from '../rules/last-logout-request.js'
import type { Subject } from './event.js'
import type { Settings } from './settings.js'

/** A response has some 500 characters. */
const MAX_RESPONSE_CHARS = 64 * 1024

/** What the service knows of a user and a session. */
export interface Answer {
  known: KnownLogouts
  policy: Policy
  /** How old that is, in milliseconds; `null`: the log has never been read to its end. */
  lagMs: number | null
}

/** Why the look-up failed. The message contains neither key nor user. */
export class LookUpError extends Error {
  override readonly name = 'LookUpError'
}

/**
 * Which service did not have the query form, and when. It lasts as long as the runtime keeps this
 * module; where it does not keep it, a login at a service of 0.1.0 takes one request more.
 */
let queryFormMissing: { url: string; at: Instant } | null = null

/** Requests the last logout. Rejects with a `LookUpError` without a valid response within `timeoutMs`. */
export async function lookUp(settings: Settings, subject: Subject): Promise<Answer> {
  const { url, apiKey, timeoutMs } = settings
  if (url === null) throw new LookUpError('LAST_LOGOUT_URL is not set')
  const abort = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  // Not by the signal alone: whatever becomes of the request, the login shall not wait for it.
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new LookUpError(`no response within ${timeoutMs} ms`)),
      timeoutMs,
    )
  })
  try {
    return await Promise.race([ask({ url, apiKey, signal: abort.signal }, subject), late])
  } finally {
    clearTimeout(timer)
    abort.abort()
  }
}

interface Service {
  /** Ends in a slash. */
  url: string
  apiKey: string
  signal: AbortSignal
}

async function ask(service: Service, subject: Subject): Promise<Answer> {
  const { url } = service
  const missingAt = queryFormMissing?.url === url ? queryFormMissing.at : null
  const form = chooseForm(missingAt, Date.now())
  let response = await request(service, subject, form)
  if (form === 'query' && response.status === 404 && isOwnNotFound(response.text)) {
    queryFormMissing = { url, at: Date.now() }
    response = await request(service, subject, 'path')
  }
  if (response.status !== 200) throw new LookUpError(`status ${response.status}`)
  const json = readJson(response.text)
  if (!isAbout(json, subject)) throw new LookUpError('a response about another user or session')
  return readAnswer(json)
}

async function request({ url, apiKey, signal }: Service, subject: Subject, form: RequestForm) {
  const headers = { authorization: `Bearer ${apiKey}`, accept: 'application/json' }
  const target = new URL(lastLogoutPath(subject, form), url)
  const response = await fetch(target, { headers, redirect: 'error', signal }).catch((error) => {
    // The message of an error of `fetch` may quote a header, and that is the key.
    throw new LookUpError(`unreachable (${error.cause?.code ?? error.name})`)
  })
  const { status } = response
  return { status, text: status === 200 || status === 404 ? await readText(response) : '' }
}

function readJson(text: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text))
  } catch {
    throw new LookUpError('a response that is not JSON')
  }
}

async function readText(response: Response): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true })
    if (text.length > MAX_RESPONSE_CHARS) throw new LookUpError('a response that is too long')
  }
  return text
}

/** Throws on any malformed part: a response is used whole, or not at all. */
function readAnswer(json: Record<string, unknown>): Answer {
  const { policy, lag_ms, session } = json
  if (policy !== 'session' && policy !== 'user')
    throw new LookUpError('a response without a policy')
  const userAt = readInstant(json.last_logout_at)
  const allSessionsAt = readInstant(json.all_sessions_at)
  return {
    known: {
      user: userAt === null ? null : { at: userAt, allSessionsAt },
      session: readSession(session as Record<string, unknown> | null),
      floorAt: readInstant(json.floor_at),
    },
    policy,
    lagMs: typeof lag_ms === 'number' ? lag_ms : null,
  }
}

function readSession(session: Record<string, unknown> | null): KnownLogouts['session'] {
  const at = session === null ? null : readInstant(session.logout_at)
  return session === null || at === null ? null : { at, ended: session.ended === true }
}

function readInstant(value: unknown): Instant | null {
  const at = readDateTime(value)
  if (at === null && value !== null) throw new LookUpError('a response with a malformed instant')
  return at
}
