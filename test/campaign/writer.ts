import { buildEntry } from '../../src/simulator/entries.js'
import { buildPeople, type Person, sessionFor } from '../../src/simulator/people.js'
import { pick, type Random, seededRandom } from '../../src/simulator/random.js'
import type { LogEntry, Tenant } from '../../src/simulator/tenant.js'

/** What has been written. */
export interface Written {
  entries: number
  duplicates: number
  /** The log ids of those that could be read only when the log may have passed them. */
  late: Set<string>
  unattributable: number
  /** When the last of them is stored. */
  storedAtMs: number
}

/** Writes into a tenant's log. */
export interface Writer {
  readonly written: Written
  close(): void
}

/** What is written. */
export interface WriterOptions {
  seed: number
  users: number
  /** How many of the logouts become visible late. */
  lateShare: number
}

const TICK_MS = 50
const ENTRIES_A_TICK = 2
/** Now and then several pages come at once. */
const BURST_SHARE = 0.005
const BURST = 250

const LAG_MS = 6_000
const DUPLICATE_SHARE = 0.05
const LATE_LEAST_MS = 5_000
const LATE_MOST_MS = 30_000

/** The store keeps and counts 1,000 of a reason and day exactly, and those beyond as often as it reads them. */
const MOST_UNATTRIBUTABLE = 900

const OTHERS = ['s', 'seacft', 'sertft', 'ssa', 'fs', 'seccft', 'flo', 'scp', 'sapi']
const JUNK: LogEntry[] = [
  { type: 7 },
  { type: null, user_id: 'auth0|1' },
  { type: ['slo'], user_id: 'auth0|1', details: { session_id: 'S1' } },
  { description: { deeply: { nested: ['slo'] } } },
]

/** The same seed writes the same entries one after the other; at which times, the clock decides. */
export function startWriting(tenant: Tenant, options: WriterOptions): Writer {
  const random = seededRandom(options.seed)
  const people = buildPeople(options.users, tenant.domain)
  const late = new Set<string>()
  const written = { entries: 0, duplicates: 0, late, unattributable: 0, storedAtMs: 0 }

  function writeOne(): void {
    const { entry, kind } = nextEntry(random, people, written.unattributable)
    // What is no logout by its type, a search by type does not find.
    const isLate = (kind === 'logout' || kind === 'no subject') && random() < options.lateShare
    const now = tenant.now()
    const dateMs = now - (isLate ? between(random, LATE_LEAST_MS, LATE_MOST_MS) : 0)
    // Not yet readable: what is stored in a millisecond that has been read would be late as well.
    const storedAtMs = dateMs + 1 + Math.floor(random() * (isLate ? LATE_LEAST_MS : LAG_MS))
    const times = [storedAtMs]
    if (random() < DUPLICATE_SHARE) times.push(storedAtMs + Math.floor(random() * LAG_MS))
    for (const storedAtMs of times) {
      const { logId } = tenant.write(entry, { dateMs, storedAtMs })
      if (storedAtMs <= now) late.add(logId)
      written.storedAtMs = Math.max(written.storedAtMs, storedAtMs)
    }
    written.entries += times.length
    written.duplicates += times.length - 1
    if (kind === 'no subject' || kind === 'junk') written.unattributable += times.length
  }

  const timer = setInterval(() => {
    const count = random() < BURST_SHARE ? BURST : ENTRIES_A_TICK
    for (let n = 0; n < count; n++) writeOne()
  }, TICK_MS)
  return { written, close: () => clearInterval(timer) }
}

interface NextEntry {
  entry: LogEntry
  kind: 'logout' | 'no subject' | 'junk' | 'other'
}

function nextEntry(random: Random, people: Person[], unattributable: number): NextEntry {
  const person = pick(random, people)
  const about = (type: string) => ({
    ...person.subject,
    sessionId: sessionFor(type, person, random),
  })
  const nobody = { user_id: pick(random, [null, '', undefined]) }
  const logout = (entry: LogEntry): NextEntry => ({ entry, kind: 'logout' })
  const dice = random()
  if (dice < 0.4) {
    const type = pick(random, OTHERS)
    return { entry: buildEntry(type, about(type)), kind: 'other' }
  }
  if (dice < 0.43 && unattributable < MOST_UNATTRIBUTABLE) {
    if (dice < 0.41) return { entry: pick(random, JUNK), kind: 'junk' }
    return { entry: buildEntry('slo', person.subject, nobody), kind: 'no subject' }
  }
  if (dice < 0.46) return logout(buildEntry('slo', about('slo'), nobody))
  if (dice < 0.48) return logout(buildEntry('slo', about('slo'), { date: undefined }))
  if (dice < 0.55) return logout(buildEntry('slo', person.subject))
  if (dice < 0.6) {
    const type = 'universal_logout_succeeded'
    return logout(buildEntry(type, about(type)))
  }
  return logout(buildEntry('slo', about('slo')))
}

function between(random: Random, least: number, most: number): number {
  return Math.floor(least + random() * (most - least))
}
