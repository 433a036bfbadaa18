import type { Change } from '../rules/change-feed.js'
import { type Instant, readDateTime } from '../rules/instant.js'
import { readFreshness, type StatedFreshness } from '../rules/last-logout-response.js'
import { invalidEvent, type LastLogoutClientError } from './errors.js'
import type { ServerSentEvent } from './event-stream.js'

type ChangeOf<Kind> = Extract<Change, { kind: Kind }>

/** The part of a change that the client uses. */
export type ReceivedChange =
  | Pick<ChangeOf<'user'>, 'kind' | 'userId' | 'at' | 'allSessionsAt'>
  | Pick<ChangeOf<'session'>, 'kind' | 'sessionId' | 'userId' | 'at' | 'ended'>
  | ChangeOf<'floor'>
  | Pick<ChangeOf<'forgotten_user'>, 'kind' | 'key' | 'userHash' | 'at' | 'allSessionsAt'>
  | Pick<ChangeOf<'forgotten_session'>, 'kind' | 'key' | 'sessionHash' | 'at' | 'ended'>

/**
 * An event of the change feed. `cursor` is the position after the event; `null`: the event is not the last of a page.
 */
export type FeedEvent = { cursor: string | null } & (
  | { kind: 'change'; change: ReceivedChange }
  /** The service does not know the client's cursor, and sends all changes again. */
  | { kind: 'reset' }
  /** All changes before this event have been sent. */
  | { kind: 'freshness'; freshness: StatedFreshness }
  /** An unknown event or an unknown kind of change, from a newer release of the service. */
  | { kind: 'other' }
)

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
    case 'freshness': {
      const freshness = readFreshness(parseJson(data))
      if ('invalidField' in freshness) throw malformed(freshness.invalidField)
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
      return {
        kind,
        userId: readText(user_id, 'user_id'),
        at: readInstant(fields.at, 'at'),
        allSessionsAt: readAllSessionsAt(fields),
      }
    case 'session':
      return {
        kind,
        sessionId: readText(session_id, 'session_id'),
        userId: typeof user_id === 'string' ? user_id : null,
        at: readInstant(fields.at, 'at'),
        ended: fields.ended === true,
      }
    case 'floor':
      return { kind, at: readInstant(fields.at, 'at') }
    case 'forgotten_user':
      return {
        kind,
        key: readText(key, 'key'),
        userHash: readText(user_hash, 'user_hash'),
        at: readInstant(fields.at, 'at'),
        allSessionsAt: readAllSessionsAt(fields),
      }
    case 'forgotten_session':
      return {
        kind,
        key: readText(key, 'key'),
        sessionHash: readText(session_hash, 'session_hash'),
        at: readInstant(fields.at, 'at'),
        ended: fields.ended === true,
      }
    default:
      return null
  }
}

function readAllSessionsAt({ all_sessions_at: at }: Record<string, unknown>): Instant | null {
  return at === null ? null : readInstant(at, 'all_sessions_at')
}

function readInstant(value: unknown, field: string): Instant {
  const at = readDateTime(value)
  if (at === null) throw malformed(field)
  return at
}

function readText(value: unknown, field: string): string {
  if (typeof value !== 'string') throw malformed(field)
  return value
}

function parseJson(data: string): unknown {
  try {
    return JSON.parse(data)
  } catch {
    throw invalidEvent('the change feed sent an event that is not JSON')
  }
}

function malformed(field: string): LastLogoutClientError {
  return invalidEvent(
    `the change feed sent an event in which the field ${field} is missing or malformed`,
  )
}
