import fc from 'fast-check'

/** An event as the oracle reads it. Shares its shape with the rules, and no code. */
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

/** What the rows have to be after these events: each column worked out by itself, over all of them. */
export function truthOf(events: Event[]) {
  const users = [...new Set(events.flatMap(({ userId }) => userId ?? []))].sort()
  const sessions = [...new Set(events.flatMap(({ sessionId }) => sessionId ?? []))].sort()
  return {
    users: users.map((userId) => {
      const own = events.filter((event) => event.userId === userId)
      const all = own.filter((event) => event.sessionId === null).map((event) => event.at)
      return { userId, ...newest(own), allSessionsAt: all.length > 0 ? Math.max(...all) : null }
    }),
    sessions: sessions.map((sessionId) => {
      const own = events.filter((event) => event.sessionId === sessionId)
      const owners = own.flatMap(({ userId }) => userId ?? []).sort()
      return { sessionId, ...newest(own), userId: owners.at(-1) ?? null, ended: true }
    }),
  }
}

/** Rows in the oracle's order. */
export function sorted<U extends { userId: string }, S extends { sessionId: string }>(rows: {
  users: U[]
  sessions: S[]
}) {
  const by = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
  return {
    users: [...rows.users].sort((a, b) => by(a.userId, b.userId)),
    sessions: [...rows.sessions].sort((a, b) => by(a.sessionId, b.sessionId)),
  }
}

/** The newest event; the greater log id among those of the same millisecond. */
function newest(events: Event[]): Row {
  const at = Math.max(...events.map((event) => event.at))
  const [last] = events
    .filter((event) => event.at === at)
    .sort((a, b) => (a.logId < b.logId ? 1 : -1))
  if (last === undefined) throw new Error('no events')
  return { at, logId: last.logId, type: last.type }
}

/** Few users and sessions within few milliseconds, so that they meet often. */
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

/** What the entries of a log come to, as a person would work it out from DESIGN's words. */
export function truthOfLog(log: Record<string, unknown>[]) {
  const events: Event[] = []
  const lost: string[] = []
  for (const entry of log) {
    if (typeof entry.type !== 'string') lost.push(String(entry.log_id))
    if (entry.type !== 'slo' && entry.type !== 'universal_logout_succeeded') continue
    const logId = String(entry.log_id)
    const userId = entry.user_id ? String(entry.user_id) : null
    const details = entry.details as { session_id?: string } | null | undefined
    const named = details?.session_id ?? null
    if (userId === null && named === null) {
      lost.push(logId)
      continue
    }
    const keepsOthers = entry.type === 'slo' || userId === null
    events.push({
      logId,
      type: entry.type,
      at: Math.min(storedAt(logId), entry.date ? Date.parse(String(entry.date)) : Infinity),
      userId,
      sessionId: keepsOthers ? named : null,
    })
  }
  return { rows: truthOf(events), events: events.length, lost: lost.sort() }
}

/** 900 2026 11 23 10 00 03 400 …: digits 3 to 19 of a log id are the time of its storage. */
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
