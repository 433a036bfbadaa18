import { generateHistory } from '../src/simulator/history.js'
import { buildLogId, DEFAULT_ID_PREFIX } from '../src/simulator/log-id.js'
import type { LogEntry, StoredEntry, Tenant } from '../src/simulator/tenant.js'

/** Number of templates. The tenant builds each entry from a template, and inserts other ids at each use. */
const TEMPLATE_COUNT = 1_000

/** An entry as text, without its ids. */
interface Template {
  type: unknown
  /** The JSON of the entry, split at each {@link USE_MARK}. */
  parts: string[]
}

/**
 * Simulates a tenant whose log has any number of entries. An entry is built when it is read, so that the memory of the
 * tenant does not grow with the log. Entry number `n` is stored at a time that grows evenly with `n`. Only reads by
 * checkpoint return entries.
 *
 * @param startMs Storage time of the first entry. The last entry is stored at `endMs`. Both are in milliseconds since
 *   the epoch.
 */
export function createBacklogTenant(
  domain: string,
  { entryCount, startMs, endMs }: { entryCount: number; startMs: number; endMs: number },
): Tenant {
  const templates = buildTemplates(domain)
  const storedAtMs = (n: number) => startMs + (n / entryCount) * (endMs - startMs)
  const logIdOf = (n: number) => buildLogId(DEFAULT_ID_PREFIX, storedAtMs(n), n)

  /** Finds the number of the first entry whose log id is greater than `position`, by a binary search. */
  function numberAfter(position: string): number {
    let [low, high] = [0, entryCount]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (logIdOf(middle) <= position) low = middle + 1
      else high = middle
    }
    return low
  }

  function entryOf(n: number): StoredEntry {
    const { type, parts } = templates[n % TEMPLATE_COUNT] ?? { type: 's', parts: [] }
    const earlierUses = Math.floor(n / TEMPLATE_COUNT)
    const logId = logIdOf(n)
    const json = parts.join(`${earlierUses}`).replaceAll(LOG_ID_MARK, logId)
    return { logId, type, userId: undefined, dateMs: storedAtMs(n), json: Buffer.from(json) }
  }

  const throwUnsupported = (): never => {
    throw new TypeError('the tenant of this benchmark does not support this call')
  }
  return {
    domain,
    now: Date.now,
    positionAt: (ms) => buildLogId(DEFAULT_ID_PREFIX, ms, 0),
    oldestRetained: () => '',
    write: throwUnsupported,
    writeStored: throwUnsupported,
    readAfter(position, take) {
      const first = numberAfter(position)
      const count = Math.max(0, Math.min(take, entryCount - first))
      return Array.from({ length: count }, (_, index) => entryOf(first + index))
    },
    search: () => [],
    entries: throwUnsupported,
  }
}

const LOGOUT_SHARE = 0.2
const MIN_ENTRY_BYTES = 1_500
/** Stands for the log id in a template. */
const LOG_ID_MARK = '<log-id>'
/** Stands in a user id or session id for the number of earlier uses of the template, so that each use has other ids. */
const USE_MARK = '<uses>'

function buildTemplates(domain: string): Template[] {
  const nowMs = Date.now()
  const history = generateHistory({
    entries: TEMPLATE_COUNT,
    startMs: nowMs - 60_000,
    endMs: nowMs,
    logoutShare: LOGOUT_SHARE,
    bytes: MIN_ENTRY_BYTES,
    domain,
  })
  return history.map((entry) => {
    const { type, user_id, details } = entry
    const templateEntry: LogEntry = { ...entry, log_id: LOG_ID_MARK, _id: LOG_ID_MARK }
    if (typeof user_id === 'string' && user_id !== '')
      templateEntry.user_id = `${user_id}${USE_MARK}`
    const { session_id: sessionId } = Object(details)
    if (typeof sessionId === 'string') {
      templateEntry.details = { ...Object(details), session_id: `${sessionId}${USE_MARK}` }
    }
    return { type, parts: JSON.stringify(templateEntry).split(USE_MARK) }
  })
}
