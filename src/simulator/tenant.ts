import { validateTenant } from './domain.js'
import { buildLogId, DEFAULT_ID_PREFIX, isLogId, logIdPosition } from './log-id.js'
import { ABOVE_ALL_IDS, justAfter, type Query, type Searchable } from './query.js'
import { seededRandom } from './random.js'

/** An entry of the log as the API returns it. Auth0 guarantees almost none of its fields. */
export type LogEntry = Record<string, unknown>

/** A stored entry with the fields that can be searched. */
export interface StoredEntry extends Searchable {
  /** The JSON of the entry, encoded once. */
  readonly json: Buffer
}

/** The order of search results. */
export interface Sort {
  readonly by: 'date' | 'log_id'
  readonly descending: boolean
}

interface Search {
  readonly query: Query
  readonly sort: Sort
  readonly skip: number
  readonly take: number
}

/** The times of an event (`dateMs`) and of the storage of its entry (`storedAtMs`), in milliseconds since the epoch. */
interface EntryTimes {
  dateMs?: number
  storedAtMs?: number
}

/** The result of {@link Tenant.write}. */
interface WrittenEntry {
  readonly logId: string
  readonly storedAtMs: number
  /** The entry as the API returns it, with `log_id`, `_id` and `date`. */
  readonly entry: LogEntry
}

/** Options of {@link createTenant}. */
export interface SimulatedTenantOptions {
  /** The domain of the tenant, for example `acme.eu.auth0.com`. */
  domain: string
  /** The tenant's clock, in milliseconds. Default: `Date.now`. */
  now?: () => number
  /**
   * The delay between an event and the storage of its entry, in milliseconds. Default: random from 0 to 6 s, with a fixed
   * seed.
   */
  lagMs?: () => number
  /** How long an entry is retained after its storage, in milliseconds. Default: forever. */
  retentionMs?: number
  /** The first three digits of log ids. Default: `900`. */
  prefix?: string
}

/** A simulated tenant with its log. The API returns an entry from its storage time until the end of its retention. */
export interface Tenant {
  readonly domain: string
  now(): number
  /** Returns the lower bound of the ids of entries that are stored at this time or later. */
  positionAt(ms: number): string
  /** Returns the lower bound of the ids of retained entries, or `''` if entries are retained forever. */
  oldestRetained(): string
  /**
   * Writes an entry. A `date` in the entry is kept unchanged, even if it is invalid.
   *
   * @param when `dateMs` is the time of the event. Default: the `date` of the entry, or now. `storedAtMs` is the
   *   storage time. Default: `dateMs` plus `lagMs()`. An entry with a storage time in the past is late: a reader's
   *   checkpoint can already be after this entry.
   */
  write(entry: object, when?: EntryTimes): WrittenEntry
  /**
   * Adds complete entries with their `log_id`, in any order. Skips an entry if its id is already stored.
   *
   * @throws `TypeError` if an id is not a log id of this tenant.
   */
  writeStored(entries: readonly object[]): void
  /** Reads at most `take` entries after this position, oldest first. */
  readAfter(position: string, take: number): readonly StoredEntry[]
  /** Reads the entries that match a query. */
  search(search: Search): readonly StoredEntry[]
  /** Returns all entries in the order of their ids, including entries that the API does not return at present. */
  entries(): LogEntry[]
}

/** Creates a tenant with an empty log in memory. Throws a `TypeError` if the domain or the prefix is invalid. */
export function createTenant(options: SimulatedTenantOptions): Tenant {
  const random = seededRandom(1)
  const { domain, now = Date.now, lagMs = () => random() * 6000 } = validateTenant(options)
  const { retentionMs = Infinity, prefix = DEFAULT_ID_PREFIX } = options
  let stored: StoredEntry[] = []
  let sequence = 0

  const positionAt = (ms: number) => logIdPosition(prefix, ms)
  const oldestRetained = () => (retentionMs === Infinity ? '' : positionAt(now() - retentionMs))

  /** Returns the indexes of the entries within these bounds that the API returns now. */
  function readableRange(from: string, before: string): [start: number, end: number] {
    const oldest = oldestRetained()
    const future = positionAt(Math.floor(now()) + 1)
    return [
      indexOf(stored, from > oldest ? from : oldest),
      indexOf(stored, before < future ? before : future),
    ]
  }

  function write(entry: object, when: EntryTimes = {}): WrittenEntry {
    const dateMs = when.dateMs ?? readDateMs(entry) ?? now()
    const storedAtMs = when.storedAtMs ?? dateMs + lagMs()
    const logId = buildLogId(prefix, storedAtMs, sequence++)
    const date = new Date(dateMs).toISOString()
    const completeEntry: LogEntry = { date, ...entry, log_id: logId, _id: logId }
    stored.splice(indexOf(stored, logId), 0, toStored(completeEntry, logId))
    return { logId, storedAtMs, entry: completeEntry }
  }

  function writeStored(entries: readonly object[]): void {
    const newEntries = entries.map((entry) => toImported(entry, prefix))
    stored = merge(stored, newEntries)
  }

  function readAfter(position: string, take: number): readonly StoredEntry[] {
    const [start, end] = readableRange(justAfter(position), ABOVE_ALL_IDS)
    return stored.slice(start, Math.min(end, start + take))
  }

  function search({ query, sort, skip, take }: Search): readonly StoredEntry[] {
    const [start, end] = readableRange(query.from, query.before)
    const matching = stored.slice(start, end).filter(query.matches)
    if (sort.by === 'date') matching.sort(byDate)
    if (sort.descending) matching.reverse()
    return matching.slice(skip, skip + take)
  }

  return {
    domain,
    now,
    positionAt,
    oldestRetained,
    write,
    writeStored,
    readAfter,
    search,
    entries: () => stored.map((entry): LogEntry => JSON.parse(String(entry.json))),
  }
}

function toStored(entry: object, logId: string): StoredEntry {
  const { type, user_id: userId } = entry as LogEntry
  return {
    logId,
    type,
    userId,
    dateMs: readDateMs(entry) ?? Number.NaN,
    json: Buffer.from(JSON.stringify(entry)),
  }
}

function toImported(entry: object, prefix: string): StoredEntry {
  const { log_id: logId } = entry as LogEntry
  if (!isLogId(logId, prefix)) throw new TypeError(`Not a log id of this tenant: ${logId}`)
  return toStored(entry, logId)
}

/** Merges two lists in the order of ids. For an id in both lists, keeps the entry of `stored`. */
function merge(stored: readonly StoredEntry[], newEntries: readonly StoredEntry[]): StoredEntry[] {
  const all = [...stored, ...newEntries].sort(byLogId)
  return all.filter((entry, i) => entry.logId !== all[i - 1]?.logId)
}

function readDateMs(entry: { date?: unknown }): number | undefined {
  const ms = typeof entry.date === 'string' ? Date.parse(entry.date) : Number.NaN
  return Number.isNaN(ms) ? undefined : ms
}

/** Returns the index of the first entry at or after this position. */
function indexOf(entries: readonly StoredEntry[], position: string): number {
  let low = 0
  let high = entries.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((entries[middle]?.logId ?? '') < position) low = middle + 1
    else high = middle
  }
  return low
}

function byLogId(a: StoredEntry, b: StoredEntry): number {
  return a.logId < b.logId ? -1 : a.logId > b.logId ? 1 : 0
}

function byDate(a: StoredEntry, b: StoredEntry): number {
  return (a.dateMs || 0) - (b.dateMs || 0) || byLogId(a, b)
}
