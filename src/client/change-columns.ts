import type { ChangeColumns } from '../rules/change-feed.js'
import { type Instant, plausibleInstant } from '../rules/instant.js'
import { malformedField } from './errors.js'
import type { ReceivedChange } from './received-change.js'

/**
 * Reads the data of an event `columns`.
 *
 * @throws `NOT_UNDERSTOOD` if a column is missing or malformed, or if the columns of a kind differ in length.
 */
export function readColumns(json: unknown): ReceivedChange[] {
  const { users, sessions } = Object(json)
  return [...readUsers(Object(users)), ...readSessions(Object(sessions))]
}

function readUsers(fields: Record<keyof ChangeColumns['users'], unknown>): ReceivedChange[] {
  const ids = readColumn(fields, 'user_id')
  const instants = readColumn(fields, 'at_ms', ids.length)
  const allSessionsInstants = readColumn(fields, 'all_sessions_at_ms', ids.length)
  return ids.map((id, i) => {
    const allSessionsAt = allSessionsInstants[i]
    return {
      kind: 'user',
      userId: readTextField(id, 'user_id'),
      at: readInstant(instants[i], 'at_ms'),
      allSessionsAt:
        allSessionsAt === null ? null : readInstant(allSessionsAt, 'all_sessions_at_ms'),
    }
  })
}

function readSessions(fields: Record<keyof ChangeColumns['sessions'], unknown>): ReceivedChange[] {
  const ids = readColumn(fields, 'session_id')
  const userIds = readColumn(fields, 'user_id', ids.length)
  const instants = readColumn(fields, 'at_ms', ids.length)
  const ended = readColumn(fields, 'ended', ids.length)
  return ids.map((id, i) => {
    const userId = userIds[i]
    return {
      kind: 'session',
      sessionId: readTextField(id, 'session_id'),
      userId: typeof userId === 'string' ? userId : null,
      at: readInstant(instants[i], 'at_ms'),
      ended: ended[i] === true,
    }
  })
}

/** Reads a column. `length` is the length of the column with the ids; for that column itself, it is omitted. */
function readColumn<Field extends string>(
  fields: Record<Field, unknown>,
  field: Field,
  length?: number,
): unknown[] {
  const column = fields[field]
  if (!Array.isArray(column) || column.length !== (length ?? column.length)) {
    throw malformedField(field)
  }
  return column
}

/**
 * Returns a field that must be a string.
 *
 * @throws `NOT_UNDERSTOOD` for any other value.
 */
export function readTextField(value: unknown, field: string): string {
  if (typeof value !== 'string') throw malformedField(field)
  return value
}

function readInstant(value: unknown, field: string): Instant {
  const at = Number.isInteger(value) ? plausibleInstant(value as number) : null
  if (at === null) throw malformedField(field)
  return at
}
