import { buildEntry } from '../src/simulator/entries.js'
import { buildPeople, type Person, sessionFor } from '../src/simulator/people.js'
import { pick, type Random, seededRandom } from '../src/simulator/random.js'
import type { LogEntry, Tenant } from '../src/simulator/tenant.js'

/** Statistics of the entries that a writer has written. */
export interface Written {
  /** The number of entries, including duplicates. */
  entries: number
  duplicates: number
  /** The log ids of late entries. Before a late entry is visible, a poll can have read past its storage time. */
  lateLogIds: Set<string>
  /**
   * The number of unattributable entries, including duplicates. Such an entry may be a logout, but it is malformed, or
   * names no user and no session.
   */
  unattributable: number
  /** The storage time of the latest entry. */
  storedAtMs: number
}

/** Writes entries to a tenant's log. */
export interface Writer {
  readonly written: Written
  close(): void
}

/** The options of {@link startWriting}. */
export interface WriterOptions {
  seed: number
  users: number
  /** Share of the logouts that become visible late. */
  lateShare: number
}

/** Time between two ticks. Each tick writes entries. */
const TICK_MS = 50
const ENTRIES_PER_TICK = 2
/** Probability that a tick writes a burst, which fills several pages. */
const BURST_SHARE = 0.005
const ENTRIES_PER_BURST = 250

const MAX_STORAGE_DELAY_MS = 6_000
const DUPLICATE_SHARE = 0.05
const MIN_LATE_DELAY_MS = 5_000
const MAX_LATE_DELAY_MS = 30_000

/**
 * Maximum number of unattributable entries. The store keeps at most 1,000 unattributable entries for each reason and
 * day. It only counts further entries, again at every read, so the expected count would be unknown.
 */
const MAX_UNATTRIBUTABLE = 900

const OTHER_TYPES = ['s', 'seacft', 'sertft', 'ssa', 'fs', 'seccft', 'flo', 'scp', 'sapi']
const MALFORMED_ENTRIES: LogEntry[] = [
  { type: 7 },
  { type: null, user_id: 'auth0|1' },
  { type: ['slo'], user_id: 'auth0|1', details: { session_id: 'S1' } },
  { description: { deeply: { nested: ['slo'] } } },
]

/** Writes entries until `close` is called. The seed determines the entries and their order, but not their times. */
export function startWriting(tenant: Tenant, options: WriterOptions): Writer {
  const random = seededRandom(options.seed)
  const people = buildPeople(options.users, tenant.domain)
  const lateLogIds = new Set<string>()
  const written = { entries: 0, duplicates: 0, lateLogIds, unattributable: 0, storedAtMs: 0 }

  function writeEntry(): void {
    const { entry, kind } = nextEntry(random, people, written.unattributable)
    // Only these entries can be late: a reconcile searches by type, and would not find late entries of other types.
    const isLate =
      (kind === 'logout' || kind === 'no user or session') && random() < options.lateShare
    const now = tenant.now()
    const dateMs = now - (isLate ? between(random, MIN_LATE_DELAY_MS, MAX_LATE_DELAY_MS) : 0)
    // The storage time of an entry that is not late is after `now`, because a poll can already have read up to `now`.
    const storedAtMs =
      dateMs + 1 + Math.floor(random() * (isLate ? MIN_LATE_DELAY_MS : MAX_STORAGE_DELAY_MS))
    const storageTimesMs = [storedAtMs]
    if (random() < DUPLICATE_SHARE)
      storageTimesMs.push(storedAtMs + Math.floor(random() * MAX_STORAGE_DELAY_MS))
    for (const timeMs of storageTimesMs) {
      const { logId } = tenant.write(entry, { dateMs, storedAtMs: timeMs })
      if (timeMs <= now) lateLogIds.add(logId)
      written.storedAtMs = Math.max(written.storedAtMs, timeMs)
    }
    written.entries += storageTimesMs.length
    written.duplicates += storageTimesMs.length - 1
    if (kind === 'no user or session' || kind === 'malformed')
      written.unattributable += storageTimesMs.length
  }

  const timer = setInterval(() => {
    const count = random() < BURST_SHARE ? ENTRIES_PER_BURST : ENTRIES_PER_TICK
    for (let n = 0; n < count; n++) writeEntry()
  }, TICK_MS)
  return { written, close: () => clearInterval(timer) }
}

/** An entry to write. */
interface NextEntry {
  entry: LogEntry
  kind: 'logout' | 'no user or session' | 'malformed' | 'other'
}

function nextEntry(random: Random, people: Person[], unattributable: number): NextEntry {
  const person = pick(random, people)
  const subjectWithSession = (type: string) => ({
    ...person.subject,
    sessionId: sessionFor(type, person, random),
  })
  const withoutUser = { user_id: pick(random, [null, '', undefined]) }
  const logout = (entry: LogEntry): NextEntry => ({ entry, kind: 'logout' })
  // Each kind of entry has a range of this number. The size of the range is the probability of the kind.
  const draw = random()
  if (draw < 0.4) {
    const type = pick(random, OTHER_TYPES)
    return { entry: buildEntry(type, subjectWithSession(type)), kind: 'other' }
  }
  if (draw < 0.43 && unattributable < MAX_UNATTRIBUTABLE) {
    if (draw < 0.41) return { entry: pick(random, MALFORMED_ENTRIES), kind: 'malformed' }
    return { entry: buildEntry('slo', person.subject, withoutUser), kind: 'no user or session' }
  }
  if (draw < 0.46) return logout(buildEntry('slo', subjectWithSession('slo'), withoutUser))
  if (draw < 0.48) return logout(buildEntry('slo', subjectWithSession('slo'), { date: undefined }))
  if (draw < 0.55) return logout(buildEntry('slo', person.subject))
  if (draw < 0.6) {
    const type = 'universal_logout_succeeded'
    return logout(buildEntry(type, subjectWithSession(type)))
  }
  return logout(buildEntry('slo', subjectWithSession('slo')))
}

function between(random: Random, min: number, max: number): number {
  return Math.floor(min + random() * (max - min))
}
