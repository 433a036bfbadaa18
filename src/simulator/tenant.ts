import { buildLogId, isLogId, logIdPosition, USUAL_PREFIX } from './log-id.js'
import { AFTER_ALL, justAfter, type Query, type Searchable } from './query.js'
import { seededRandom } from './random.js'

/** One raw record of the log, as the API serves it; hardly a field of it is certain. */
export type LogEntry = Record<string, unknown>

/** An entry as it is kept: its JSON, made and encoded once, and the fields that can be searched. */
export interface StoredEntry extends Searchable {
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

/** When an entry happened, and when it is stored; both in milliseconds. */
interface When {
  dateMs?: number
  storedAtMs?: number
}

/** What {@link Tenant.write} made of an entry. */
interface WrittenEntry {
  readonly logId: string
  readonly storedAtMs: number
  /** The entry as served, with `log_id`, `_id` and `date`. */
  readonly entry: LogEntry
}

/** How a tenant differs from the default. */
export interface TenantOptions {
  /** For example `acme.eu.auth0.com`. */
  domain: string
  /** The tenant's clock in milliseconds, default `Date.now`. */
  now?: () => number
  /** How late the next entry is stored, in milliseconds; default a seeded random 0–6 s. */
  lagMs?: () => number
  /** How long after its storage an entry is served, default for ever. */
  retentionMs?: number
  /** The first three digits of log ids, default `900`. */
  prefix?: string
}

/** The log of a simulated tenant. What is not stored yet, or kept no longer, cannot be read. */
export interface Tenant {
  readonly domain: string
  now(): number
  /** Where in the order of log ids that which was stored at this time begins. */
  positionAt(ms: number): string
  /** The position before which entries are kept no longer, `''` without a retention. */
  oldestKept(): string
  /**
   * Logs what happened at `dateMs` (default: the entry's own `date`, else now); stored after the
   * tenant's lag or at `storedAtMs`, which may lie in the past: such an entry turns up late. The
   * entry's own `date` is served as it is, whatever it is.
   */
  write(entry: object, when?: When): WrittenEntry
  /**
   * Adds ready-made entries under their own `log_id`, in any order; known ids are passed over.
   * Throws a `TypeError` on an id that is no log id of this tenant.
   */
  writeStored(entries: readonly object[]): void
  /** Checkpoint mode: the oldest entries after this position. */
  readAfter(position: string, take: number): readonly StoredEntry[]
  /** Search mode. */
  search(search: Search): readonly StoredEntry[]
  /** All entries, also those that cannot be read now, in the order of their ids. */
  entries(): LogEntry[]
}

/** An empty tenant; all of it is in memory. */
export function createTenant(options: TenantOptions): Tenant {
  const random = seededRandom(1)
  const { domain, now = Date.now, lagMs = () => random() * 6000 } = options
  const { retentionMs = Infinity, prefix = USUAL_PREFIX } = options
  let stored: StoredEntry[] = []
  let sequence = 0

  const positionAt = (ms: number) => logIdPosition(prefix, ms)
  const oldestKept = () => (retentionMs === Infinity ? '' : positionAt(now() - retentionMs))

  function readable(from: string, before: string): [start: number, end: number] {
    const oldest = oldestKept()
    const future = positionAt(Math.floor(now()) + 1)
    return [
      indexOf(stored, from > oldest ? from : oldest),
      indexOf(stored, before < future ? before : future),
    ]
  }

  function write(entry: object, when: When = {}): WrittenEntry {
    const dateMs = when.dateMs ?? ownDateMs(entry) ?? now()
    const storedAtMs = when.storedAtMs ?? dateMs + lagMs()
    const logId = buildLogId(prefix, storedAtMs, sequence++)
    const date = new Date(dateMs).toISOString()
    const full: LogEntry = { date, ...entry, log_id: logId, _id: logId }
    stored.splice(indexOf(stored, logId), 0, toStored(full, logId))
    return { logId, storedAtMs, entry: full }
  }

  function writeStored(entries: readonly object[]): void {
    const added = entries.map((entry) => toReadyMade(entry, prefix))
    stored = merge(stored, added)
  }

  function readAfter(position: string, take: number): readonly StoredEntry[] {
    const [start, end] = readable(justAfter(position), AFTER_ALL)
    return stored.slice(start, Math.min(end, start + take))
  }

  function search({ query, sort, skip, take }: Search): readonly StoredEntry[] {
    const [start, end] = readable(query.from, query.before)
    const found = stored.slice(start, end).filter(query.matches)
    if (sort.by === 'date') found.sort(byDate)
    if (sort.descending) found.reverse()
    return found.slice(skip, skip + take)
  }

  return {
    domain,
    now,
    positionAt,
    oldestKept,
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
    dateMs: ownDateMs(entry) ?? Number.NaN,
    json: Buffer.from(JSON.stringify(entry)),
  }
}

function toReadyMade(entry: object, prefix: string): StoredEntry {
  const { log_id: logId } = entry as LogEntry
  if (!isLogId(logId, prefix)) throw new TypeError(`no log id of this tenant: ${logId}`)
  return toStored(entry, logId)
}

/** Both lists in the order of ids; of two entries with one id the first stays. */
function merge(stored: readonly StoredEntry[], added: readonly StoredEntry[]): StoredEntry[] {
  const all = [...stored, ...added].sort(byLogId)
  return all.filter((entry, i) => entry.logId !== all[i - 1]?.logId)
}

function ownDateMs(entry: { date?: unknown }): number | undefined {
  const ms = typeof entry.date === 'string' ? Date.parse(entry.date) : Number.NaN
  return Number.isNaN(ms) ? undefined : ms
}

/** The index of the first entry that is not before this position. */
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
