import { type Instant, later } from '../rules/instant.js'
import type { KnownLogouts } from '../rules/judge.js'
import type { Token } from '../rules/token.js'
import { startStopwatch, systemClocks } from './clocks.js'
import { LastLogoutClientError } from './errors.js'
import { type Freshness, readFreshness, readInstant, withAge } from './freshness.js'
import { createLastLogoutRequest } from './last-logout-request.js'
import type { Settings } from './options.js'
import type { LastLogoutJson } from './wire.js'

/** How many answers are kept. */
const MAX_ANSWERS = 10_000

/** What the service answered about a token's user and session. */
export interface Answer {
  known: KnownLogouts
  freshness: Freshness
}

/** Asks the service about one token. */
export interface Lookup {
  /** One request for all who ask about the same at once; none while an answer is fresh enough. */
  ask(token: Token): Promise<Answer>
  /** The answer that would be used without a request. */
  peek(token: Token): Answer | undefined
}

interface Kept extends Answer {
  /** Milliseconds since it was asked for. */
  elapsedMs(): number
}

/** Keeps answers for `cacheMs`, by the clock that shows more. Logouts of an older answer are merged into a newer one. */
export function createLookup(settings: Settings, clocks = systemClocks): Lookup {
  const requestLastLogout = createLastLogoutRequest(settings, clocks.wall)
  const answers = new Map<string, Kept>()
  const asking = new Map<string, Promise<Answer>>()

  async function askService(token: Token, key: string): Promise<Answer> {
    const elapsedMs = startStopwatch(clocks)
    const json = await requestLastLogout({ userId: token.subject, sessionId: token.sessionId })
    const answer = readAnswer(json, elapsedMs)
    const known = newest(answers.get(key)?.known, answer.known)
    const { freshness } = answer
    answers.delete(key)
    answers.set(key, { known, freshness, elapsedMs })
    const [oldest] = answers.keys()
    if (answers.size > MAX_ANSWERS && oldest !== undefined) answers.delete(oldest)
    return { known, freshness }
  }

  function peek(token: Token): Answer | undefined {
    const answer = answers.get(keyOf(token))
    return answer && answer.elapsedMs() < settings.cacheMs ? answer : undefined
  }

  return {
    peek,
    ask(token) {
      const answer = peek(token)
      if (answer !== undefined) return Promise.resolve(answer)
      const key = keyOf(token)
      const running = asking.get(key) ?? askService(token, key).finally(() => asking.delete(key))
      asking.set(key, running)
      return running
    },
  }
}

function readAnswer(json: LastLogoutJson, elapsedMs: () => number): Answer {
  try {
    return { known: readKnown(json), freshness: withAge(readFreshness(json), elapsedMs) }
  } catch {
    throw new LastLogoutClientError('NOT_UNDERSTOOD', 'an answer that is none of last-logout')
  }
}

function keyOf({ subject, sessionId }: Token): string {
  return JSON.stringify([subject, sessionId])
}

function readKnown({ last_logout_at, all_sessions_at, session, floor_at }: LastLogoutJson) {
  const userAt = orNull(last_logout_at)
  const sessionAt = orNull(session?.logout_at ?? null)
  return {
    user: userAt === null ? null : { at: userAt, allSessionsAt: orNull(all_sessions_at) },
    session: sessionAt === null ? null : { at: sessionAt, ended: session?.ended === true },
    floorAt: orNull(floor_at),
  }
}

/** The newest of what two sources know. */
export function newest(a: KnownLogouts | undefined, b: KnownLogouts): KnownLogouts {
  if (a === undefined) return b
  const userAt = later(a.user?.at ?? null, b.user?.at ?? null)
  const allSessionsAt = later(a.user?.allSessionsAt ?? null, b.user?.allSessionsAt ?? null)
  const sessionAt = later(a.session?.at ?? null, b.session?.at ?? null)
  const ended = a.session?.ended === true || b.session?.ended === true
  return {
    user: userAt === null ? null : { at: userAt, allSessionsAt },
    session: sessionAt === null ? null : { at: sessionAt, ended },
    floorAt: later(a.floorAt, b.floorAt),
  }
}

function orNull(text: string | null): Instant | null {
  return text === null ? null : readInstant(text)
}
