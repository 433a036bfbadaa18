import { type Instant, readDateTime } from '../rules/instant.js'
import type { KnownLogouts, Policy } from '../rules/judge.js'
import type { Subject } from './event.js'
import type { Settings } from './settings.js'

/** An answer is some 500 characters. */
const LONGEST_ANSWER = 64 * 1024

/** What the service knows of a user and a session. */
export interface Answer {
  known: KnownLogouts
  policy: Policy
  /** How old that is, in milliseconds; `null`: the log has never been read to its end. */
  lagMs: number | null
}

/** Why there is no answer, in words that hold no key and no user. */
export class LookUpError extends Error {
  override readonly name = 'LookUpError'
}

/** Asks the service. Throws where it does not answer in time, or not what it should. */
export async function lookUp(settings: Settings, subject: Subject): Promise<Answer> {
  if (settings.url === null) throw new LookUpError('LAST_LOGOUT_URL is not set')
  const url = new URL(pathOf(subject), settings.url)
  const abort = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  // Not by the signal alone: whatever becomes of the request, the login shall not wait for it.
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new LookUpError(`no answer within ${settings.timeoutMs} ms`)),
      settings.timeoutMs,
    )
  })
  try {
    return await Promise.race([ask(url, settings.apiKey, abort.signal), late])
  } finally {
    clearTimeout(timer)
    abort.abort()
  }
}

function pathOf({ userId, sessionId }: Subject): string {
  const query = sessionId === null ? '' : `?session_id=${encodeURIComponent(sessionId)}`
  return `v1/users/${encodeURIComponent(userId)}/last-logout${query}`
}

async function ask(url: URL, apiKey: string, signal: AbortSignal): Promise<Answer> {
  const headers = { authorization: `Bearer ${apiKey}`, accept: 'application/json' }
  const response = await fetch(url, { headers, redirect: 'error', signal }).catch((error) => {
    // The message of an error of `fetch` may quote a header, and that is the key.
    throw new LookUpError(`it cannot be reached (${error.cause?.code ?? error.name})`)
  })
  if (response.status !== 200) throw new LookUpError(`it answers with ${response.status}`)
  return readAnswer(readJson(await readText(response)))
}

function readJson(text: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text))
  } catch {
    throw new LookUpError('its answer is no JSON')
  }
}

async function readText(response: Response): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true })
    if (text.length > LONGEST_ANSWER) throw new LookUpError('an answer too long')
  }
  return text
}

/** Nothing of an answer that is not as it should be is believed. */
function readAnswer(json: Record<string, unknown>): Answer {
  const { policy, lag_ms, session } = json
  if (policy !== 'session' && policy !== 'user') throw new LookUpError('an answer without a policy')
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
  if (at === null && value !== null) throw new LookUpError('an answer with an instant that is none')
  return at
}
