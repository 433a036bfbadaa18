import { buildEntry } from './entries.js'
import { buildLogId, DEFAULT_ID_PREFIX } from './log-id.js'
import { buildPeople, type Person, sessionFor } from './people.js'
import { pick, type Random, seededRandom } from './random.js'
import type { LogEntry } from './tenant.js'

/** Options of {@link generateHistory}. */
export interface HistoryOptions {
  /** Number of entries, including duplicates. */
  entries: number
  /** The earliest storage time, in milliseconds since the epoch. */
  startMs: number
  /** The latest storage time, in milliseconds since the epoch. */
  endMs: number
  /**
   * Number of users. Some users are more active than others, so that a page contains several entries of one user.
   * Default: 1,000.
   */
  users?: number
  /** The fraction of logouts among the entries. Default: 0.1. */
  logoutShare?: number
  /** The fraction of entries that repeat the previous entry with another log id. Default: 0. */
  duplicateShare?: number
  /**
   * Minimum size of the JSON of an entry, in bytes. Default: no minimum. Without a minimum, entries have 400–700 bytes.
   */
  bytes?: number
  /** The seed of the random numbers. Default: 1. */
  seed?: number
  /** The domain of the tenant. Default: `acme.example.com`. */
  domain?: string
  /** The first three digits of log ids. Default: `900`. */
  prefix?: string
}

/** The types of the entries that are not logouts. A type that occurs twice in the list is twice as frequent. */
const OTHER_TYPES = ['s', 's', 'seacft', 'sertft', 'sertft', 'ssa', 'fs', 'seccft', 'flo', 'sapi']
/** The fraction of universal logouts among the logouts, and of late entries among the universal logouts. */
const UNIVERSAL_SHARE = 0.1
const LATE_SHARE = 0.5
/** The fractions of logouts that lack a field. */
const NO_SESSION_SHARE = 0.1
const NO_USER_SHARE = 0.03
const NO_DATE_SHARE = 0.01
/** Maximum delay between an event and the storage of its entry, in milliseconds: for usual and for late entries. */
const MAX_LAG_MS = 6_000
const MAX_LATE_LAG_MS = 600_000

/**
 * Generates a log in the order of log ids, for {@link Tenant.writeStored}. Entries are stored 0–6 s after their `date`.
 * Some logouts have no session, no user (`null`, `''` or absent) or no date. Some logouts are universal: they end all
 * sessions of a user. Half of the universal logouts are stored up to 10 minutes after their `date`.
 */
export function generateHistory(options: HistoryOptions): LogEntry[] {
  const { entries, startMs, endMs, users = 1000, duplicateShare = 0, bytes = 0 } = options
  const { logoutShare = 0.1, domain = 'acme.example.com', prefix = DEFAULT_ID_PREFIX } = options
  const random = seededRandom(options.seed ?? 1)
  const people = buildPeople(users, domain)
  const filler = buildFiller(bytes)
  const history: LogEntry[] = []
  for (let i = 0; i < entries; i++) {
    const storedAtMs = startMs + ((i + random()) / entries) * (endMs - startMs)
    // The square is often small, so the first users are the most active.
    const person = pick(() => random() ** 2, people)
    const duplicate = random() < duplicateShare ? history.at(-1) : undefined
    const build = random() < logoutShare ? buildLogout : buildOther
    const entry = duplicate ? { ...duplicate } : build(person, storedAtMs, random)
    entry.log_id = buildLogId(prefix, storedAtMs, Math.floor(random() * 1e10))
    entry._id = entry.log_id
    if (bytes > 0) lengthen(entry, bytes, filler)
    history.push(entry)
  }
  return history
}

function buildOther(person: Person, storedAtMs: number, random: Random): LogEntry {
  const type = pick(random, OTHER_TYPES)
  const subject = { ...person.subject, sessionId: sessionFor(type, person, random) }
  return buildEntry(type, subject, { date: dateOf(storedAtMs - random() * MAX_LAG_MS) })
}

function buildLogout(person: Person, storedAtMs: number, random: Random): LogEntry {
  const isChosen = (share: number) => random() < share
  const isUniversal = isChosen(UNIVERSAL_SHARE)
  const type = isUniversal ? 'universal_logout_succeeded' : 'slo'
  const sessionId = sessionFor(type, person, random)
  const subject = isChosen(NO_SESSION_SHARE) ? person.subject : { ...person.subject, sessionId }
  const lagMs = random() * (isUniversal && isChosen(LATE_SHARE) ? MAX_LATE_LAG_MS : MAX_LAG_MS)
  const date = isChosen(NO_DATE_SHARE) ? undefined : dateOf(storedAtMs - lagMs)
  const userOverride = isChosen(NO_USER_SHARE)
    ? { user_id: pick(random, [null, '', undefined]) }
    : {}
  return buildEntry(type, subject, { date, ...userOverride })
}

function dateOf(ms: number): string {
  return new Date(ms).toISOString()
}

/** Builds a list of URLs whose total size is at least `bytes`. */
function buildFiller(bytes: number): string[] {
  const url = (i: number) => `https://shop-${i}.example.com/signed-out`
  return Array.from({ length: Math.ceil(bytes / url(0).length) }, (_, i) => url(i))
}

/**
 * Lengthens an entry to at least `bytes` with URLs of `filler`. Lengthens only fields that can be long in real entries:
 * return URLs, scopes and executed Actions.
 */
function lengthen(entry: LogEntry, bytes: number, filler: readonly string[]): void {
  const missingBytes = bytes - JSON.stringify(entry).length
  if (missingBytes <= 0) return
  const urls = filler.slice(0, Math.ceil((missingBytes / bytes) * filler.length))
  const details = entry.details as LogEntry | null
  if (entry.type === 'seccft') entry.scope = urls.join(' ')
  else if (entry.type === 'slo') entry.details = { ...details, allowed_logout_url: urls }
  else entry.details = { ...details, actions: { executions: urls } }
}
