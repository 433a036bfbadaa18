import fc from 'fast-check'

/** A logout event. This file repeats the type and the rules of `src/rules` on purpose, to be an independent check. */
interface Event {
  logId: string
  type: string
  at: number
  userId: string | null
  sessionId: string | null
}

interface Row {
  at: number
  logId: string
  type: string
}

/** Returns the rows that are expected after these events. Computes each column separately from all events. */
export function expectedRows(events: Event[]) {
  const users = [...new Set(events.flatMap(({ userId }) => userId ?? []))].sort()
  const sessions = [...new Set(events.flatMap(({ sessionId }) => sessionId ?? []))].sort()
  return {
    users: users.map((userId) => {
      const userEvents = events.filter((event) => event.userId === userId)
      const allSessions = userEvents.filter((event) => event.sessionId === null)
      const allSessionsAt =
        allSessions.length > 0 ? Math.max(...allSessions.map(({ at }) => at)) : null
      return { userId, ...newest(userEvents), allSessionsAt }
    }),
    sessions: sessions.map((sessionId) => {
      const sessionEvents = events.filter((event) => event.sessionId === sessionId)
      const userIds = sessionEvents.flatMap(({ userId }) => userId ?? []).sort()
      return { sessionId, ...newest(sessionEvents), userId: userIds.at(-1) ?? null, ended: true }
    }),
  }
}

/** Sorts rows in the order of the expected rows. */
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

/** Generates events of a few users and sessions within 20 milliseconds, so that many events concern the same row. */
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

/** Returns the rows and unattributable entries that the specification requires for a log. */
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

/** Reads the storage time of a log id such as 900 2026 11 23 10 00 03 400 …. */
function storedAt(logId: string): number {
  const part = (from: number, length: number) => Number(logId.slice(from, from + length))
  return Date.UTC(
    part(3, 4),
    part(7, 2) - 1,
    part(9, 2),
    part(11, 2),
    part(13, 2),
    part(15, 2),
    part(17, 3),
  )
}
