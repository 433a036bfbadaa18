import fc from 'fast-check'

/**
 * A logout in the tenant log. This file does not import the types and rules of `src/rules`. It implements them a second
 * time, so that tests compare two independent results.
 */
interface Event {
  logId: string
  type: string
  /** The time of the logout, in milliseconds since the epoch. */
  at: number
  userId: string | null
  sessionId: string | null
}

/** The columns that a user and a session have in common. */
interface Row {
  at: number
  logId: string
  type: string
}

/** Returns the rows that a store must contain after these events. Computes each column from all events. */
export function expectedRows(events: Event[]) {
  const users = [...new Set(events.flatMap(({ userId }) => userId ?? []))].sort()
  const sessions = [...new Set(events.flatMap(({ sessionId }) => sessionId ?? []))].sort()
  return {
    users: users.map((userId) => {
      const userEvents = events.filter((event) => event.userId === userId)
      const allSessionsEvents = userEvents.filter((event) => event.sessionId === null)
      const allSessionsAt =
        allSessionsEvents.length > 0 ? Math.max(...allSessionsEvents.map(({ at }) => at)) : null
      return { userId, ...newest(userEvents), allSessionsAt }
    }),
    sessions: sessions.map((sessionId) => {
      const sessionEvents = events.filter((event) => event.sessionId === sessionId)
      const userIds = sessionEvents.flatMap(({ userId }) => userId ?? []).sort()
      // If events name different users for a session, the greatest user id counts, whatever the order of the events.
      const greatestUserId = userIds.at(-1) ?? null
      return { sessionId, ...newest(sessionEvents), userId: greatestUserId, ended: true }
    }),
  }
}

/** Sorts rows by their ids, as {@link expectedRows} does. */
export function sortRows<U extends { userId: string }, S extends { sessionId: string }>(rows: {
  users: U[]
  sessions: S[]
}) {
  const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
  return {
    users: [...rows.users].sort((a, b) => compare(a.userId, b.userId)),
    sessions: [...rows.sessions].sort((a, b) => compare(a.sessionId, b.sessionId)),
  }
}

/** Returns the newest event. If events have the same instant, the greatest log id decides. */
function newest(events: Event[]): Row {
  const at = Math.max(...events.map((event) => event.at))
  const [last] = events
    .filter((event) => event.at === at)
    .sort((a, b) => (a.logId < b.logId ? 1 : -1))
  if (last === undefined) throw new Error('no events')
  return { at, logId: last.logId, type: last.type }
}

/** Generates up to 60 events of 3 users and 4 sessions within 20 ms, so that many events concern the same row. */
export const logoutEvents: fc.Arbitrary<Event[]> = fc
  .array(
    fc.record({
      type: fc.constantFrom('slo', 'universal_logout_succeeded'),
      at: fc.integer({ min: 1_795_428_000_000, max: 1_795_428_000_020 }),
      userId: fc.constantFrom('auth0|1', 'auth0|2', 'auth0|3', null),
      sessionId: fc.constantFrom('S1', 'S2', 'S3', 'S4', null),
    }),
    { maxLength: 60 },
  )
  .map((events) =>
    events
      .filter(({ userId, sessionId }) => userId !== null || sessionId !== null)
      .map((event, index) => ({ ...event, logId: `9${String(index).padStart(5, '0')}` })),
  )

/**
 * Returns what a store must contain for the entries of a log: the rows, the number of logouts, and the log ids of
 * unattributable entries. An unattributable entry may be a logout, but its type is unreadable, or it names no user and
 * no session.
 */
export function expectedFromLog(log: Record<string, unknown>[]) {
  const events: Event[] = []
  const unattributable: string[] = []
  for (const entry of log) {
    if (typeof entry.type !== 'string') unattributable.push(String(entry.log_id))
    if (entry.type !== 'slo' && entry.type !== 'universal_logout_succeeded') continue
    const logId = String(entry.log_id)
    const userId = entry.user_id ? String(entry.user_id) : null
    const details = entry.details as { session_id?: string } | null | undefined
    const sessionId = details?.session_id ?? null
    if (userId === null && sessionId === null) {
      unattributable.push(logId)
      continue
    }
    // `universal_logout_succeeded` ends all sessions of its user. Without a user, it ends its session, as `slo` does.
    const endsOneSession = entry.type === 'slo' || userId === null
    events.push({
      logId,
      type: entry.type,
      at: Math.min(storedAt(logId), entry.date ? Date.parse(String(entry.date)) : Infinity),
      userId,
      sessionId: endsOneSession ? sessionId : null,
    })
  }
  return {
    rows: expectedRows(events),
    events: events.length,
    unattributable: unattributable.sort(),
  }
}

/** Returns the storage time that a log id contains. An example with spaces: `900 2026 11 23 10 00 03 400 …`. */
function storedAt(logId: string): number {
  const numberAt = (from: number, length: number) => Number(logId.slice(from, from + length))
  return Date.UTC(
    numberAt(3, 4),
    numberAt(7, 2) - 1,
    numberAt(9, 2),
    numberAt(11, 2),
    numberAt(13, 2),
    numberAt(15, 2),
    numberAt(17, 3),
  )
}
