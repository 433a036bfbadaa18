import { type Instant, readDateTime } from '../rules/instant.js'
import { readFreshness, type StatedFreshness } from '../rules/last-logout-response.js'
import { readColumns, readTextField } from './change-columns.js'
import { invalidEvent, malformedField } from './errors.js'
import { createEventReader, type FastReader, type ServerSentEvent } from './event-stream.js'
import type { ReceivedChange } from './received-change.js'

/**
 * An event of the change feed. `cursor` is the position after the event; `null`: the event is not the last of a page.
 */
export type FeedEvent = { cursor: string | null } & (
  | { kind: 'change'; change: ReceivedChange }
  /** The changes of users and sessions in a page of a load. */
  | { kind: 'columns'; changes: ReceivedChange[] }
  /** The service does not know the client's cursor, and sends all changes again. */
  | { kind: 'reset' }
  /** All changes before this event have been sent. */
  | { kind: 'freshness'; freshness: StatedFreshness }
  /** An unknown event or an unknown kind of change, from a newer release of the service. */
  | { kind: 'other' }
)

/**
 * Creates a parser for the stream of the change feed.
 *
 * @param onEvent Called for each event.
 * @returns A function that takes the next piece of the stream. It throws `NOT_UNDERSTOOD` if an event is malformed or
 *   too long.
 */
export function createFeedReader(onEvent: (event: FeedEvent) => void): (text: string) => void {
  return createEventReader((event) => onEvent(readFeedEvent(event)), createChangeReader(onEvent))
}

/** A string in JSON without escapes. */
const STRING = String.raw`"([^"\\\u0000-\u001f]*)"`
const BEGIN = String.raw`event: change\n(?:id: (.+)\n)?data: `
const END = String.raw`,"type":"[^"\\\u0000-\u001f]*"}\n\n`
const USER_EVENT = new RegExp(
  `${BEGIN}{"kind":"user","user_id":${STRING},"at":${STRING},"all_sessions_at":(?:null|${STRING})${END}`,
  'y',
)
const SESSION_EVENT = new RegExp(
  `${BEGIN}{"kind":"session","session_id":${STRING},"user_id":(?:null|${STRING}),"at":${STRING},"ended":(true|false)${END}`,
  'y',
)

/**
 * Creates a reader of the changes of users and sessions, in exactly the form that the service sends. A load from a
 * service that does not know `load=columns` contains millions of them, and takes 1.7 times as long with `JSON.parse`
 * alone. The general parser reads all other events, such as a change whose strings contain escapes.
 */
function createChangeReader(onEvent: (event: FeedEvent) => void): FastReader {
  return (text, begin) => {
    const user = matchAt(USER_EVENT, text, begin)
    if (user !== null) {
      const end = USER_EVENT.lastIndex
      const [, cursor = null, userId = '', at, allSessionsAt = null] = user
      onEvent({ kind: 'change', change: readUser(userId, at, allSessionsAt), cursor })
      return end
    }
    const session = matchAt(SESSION_EVENT, text, begin)
    if (session === null) return -1
    const end = SESSION_EVENT.lastIndex
    const [, cursor = null, sessionId = '', userId = null, at, ended] = session
    onEvent({
      kind: 'change',
      change: readSession(sessionId, userId, at, ended === 'true'),
      cursor,
    })
    return end
  }
}

function matchAt(pattern: RegExp, text: string, begin: number): RegExpExecArray | null {
  pattern.lastIndex = begin
  return pattern.exec(text)
}

/**
 * Parses an event of the change feed.
 *
 * @throws `NOT_UNDERSTOOD` if the event is malformed. The message does not contain the data, which contains user ids.
 */
export function readFeedEvent({ name, data, id }: ServerSentEvent): FeedEvent {
  // A reset has an empty id.
  const cursor = id || null
  switch (name) {
    case 'change': {
      const change = readChange(parseJson(data))
      return change === null ? { kind: 'other', cursor } : { kind: 'change', change, cursor }
    }
    case 'columns':
      return { kind: 'columns', changes: readColumns(parseJson(data)), cursor }
    case 'freshness': {
      const freshness = readFreshness(parseJson(data))
      if ('invalidField' in freshness) throw malformedField(freshness.invalidField)
      return { kind: 'freshness', freshness, cursor }
    }
    case 'reset':
      return { kind: 'reset', cursor }
    default:
      return { kind: 'other', cursor }
  }
}

/** Reads a change. Returns `null` for an unknown kind. */
function readChange(json: unknown): ReceivedChange | null {
  const fields = Object(json)
  const { kind, user_id, session_id, key, user_hash, session_hash } = fields
  switch (kind) {
    case 'user':
      return readUser(readTextField(user_id, 'user_id'), fields.at, fields.all_sessions_at)
    case 'session': {
      const userId = typeof user_id === 'string' ? user_id : null
      return readSession(readTextField(session_id, 'session_id'), userId, fields.at, fields.ended)
    }
    case 'floor':
      return { kind, at: readInstant(fields.at, 'at') }
    case 'forgotten_user':
      return {
        kind,
        key: readTextField(key, 'key'),
        userHash: readTextField(user_hash, 'user_hash'),
        at: readInstant(fields.at, 'at'),
        allSessionsAt: readAllSessionsAt(fields.all_sessions_at),
      }
    case 'forgotten_session':
      return {
        kind,
        key: readTextField(key, 'key'),
        sessionHash: readTextField(session_hash, 'session_hash'),
        at: readInstant(fields.at, 'at'),
        ended: fields.ended === true,
      }
    default:
      return null
  }
}

function readUser(userId: string, at: unknown, allSessionsAt: unknown): ReceivedChange {
  return {
    kind: 'user',
    userId,
    at: readInstant(at, 'at'),
    allSessionsAt: readAllSessionsAt(allSessionsAt),
  }
}

function readSession(
  sessionId: string,
  userId: string | null,
  at: unknown,
  ended: unknown,
): ReceivedChange {
  return { kind: 'session', sessionId, userId, at: readInstant(at, 'at'), ended: ended === true }
}

function readAllSessionsAt(at: unknown): Instant | null {
  return at === null ? null : readInstant(at, 'all_sessions_at')
}

function readInstant(value: unknown, field: string): Instant {
  const at = readDateTime(value)
  if (at === null) throw malformedField(field)
  return at
}

function parseJson(data: string): unknown {
  try {
    return JSON.parse(data)
  } catch {
    throw invalidEvent('the change feed sent an event that is not JSON')
  }
}
