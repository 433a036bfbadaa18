import { hasCode } from '../errors.js'
import type { Gap, Progress } from '../ports.js'
import { readLogId } from '../rules/entry.js'
import { type Instant, later, readDateTime } from '../rules/instant.js'
import {
  DEFAULT_PREFIX,
  isSynthetic,
  prefixOf,
  storageTimeOf,
  syntheticLogId,
} from '../rules/log-id.js'
import type { SyncDeps } from './catch-up.js'

/**
 * What the smallest of Auth0's plans retains, in milliseconds.
 *
 * @see https://auth0.com/docs/deploy-monitor/logs/log-data-retention
 */
const SHORTEST_RETENTION_MS = 86_400_000

/** A log that begins later than this before a first start was not cut off: the tenant is new. */
const NEW_TENANT_MS = SHORTEST_RETENTION_MS / 2

/** Before every entry there is. */
const BEGINNING = Date.UTC(2000, 0, 1)

/** What the log holds, as seen at one moment. */
export interface Retained {
  /** Storage time of the oldest entry; `null`: nothing is retained. */
  oldestAt: Instant | null
  prefix: string
  askedAt: Instant
}

/**
 * What is known not to have been read, and never will be, since the log does not hold it any more.
 * Judged by how far the log has been read, not by the checkpoint: in a quiet tenant the last entry
 * is old, and may be gone, and nothing is missing.
 */
export function findGap(progress: Progress, { oldestAt, askedAt }: Retained): Gap | null {
  const { checkpoint, sweep } = progress
  const end = oldestAt ?? askedAt
  if (sweep !== null) {
    const isCut = oldestAt !== null && oldestAt <= askedAt - NEW_TENANT_MS
    return isCut && sweep.from < end ? { from: sweep.from, to: end, reason: 'cold_start' } : null
  }
  const from = readUpTo(progress)
  if (from === null || from >= end) return null
  const isRetained = from >= askedAt - SHORTEST_RETENTION_MS
  if (isRetained && !isDeletedEarly(checkpoint, end, askedAt)) return null
  return { from, to: end, reason: oldestAt === null ? 'empty_log' : 'retention' }
}

/** Up to where the log has been read, be it by freshness or by the checkpoint; `null`: nowhere. */
export function readUpTo({ asOf, checkpoint }: Progress): Instant | null {
  return later(asOf, storageTimeOf(checkpoint ?? ''))
}

/** An entry that every plan would retain is gone: whatever was stored with it may be gone too. */
function isDeletedEarly(checkpoint: string | null, end: Instant, askedAt: Instant): boolean {
  if (checkpoint === null || isSynthetic(checkpoint)) return false
  const storedAt = storageTimeOf(checkpoint)
  return storedAt !== null && storedAt >= askedAt - SHORTEST_RETENTION_MS && storedAt < end
}

/** What is done about a gap beside recording it. */
export interface GapOptions {
  /** `floor`: tokens from before its end are refused. */
  onGap: 'record' | 'floor'
}

/** Asks what the log holds, and records the gap there is. Returns what the log holds. */
export async function recordGap(
  deps: SyncDeps,
  progress: Progress,
  { onGap }: GapOptions,
  signal: AbortSignal,
): Promise<Retained> {
  const retained = await readRetained(deps, progress.sweep?.from ?? readUpTo(progress), signal)
  const gap = findGap(progress, retained)
  const raisesFloor = onGap === 'floor'
  if (gap !== null && (await deps.store.storeGap(gap, raisesFloor))) {
    deps.onFinding?.({ kind: 'gap', gap, raisesFloor })
  }
  return retained
}

/** `since`: whether anything from before it is retained is what matters. */
async function readRetained(
  { source }: SyncDeps,
  since: Instant | null,
  signal: AbortSignal,
): Promise<Retained> {
  const { entries, askedAt } = await source.readOldest(signal)
  const [entry] = entries
  if (entry === undefined) return { oldestAt: null, prefix: DEFAULT_PREFIX, askedAt }
  const logId = readLogId(entry) ?? ''
  const storedAt = storageTimeOf(logId)
  // Where the ids tell no time, the date is not later than the storage.
  const oldestAt = storedAt ?? readDateTime(Object(entry).date) ?? BEGINNING
  const prefix = storedAt === null ? DEFAULT_PREFIX : prefixOf(logId)
  if (since === null || oldestAt <= since) return { oldestAt, prefix, askedAt }
  // The oldest by date may have been stored late: by the order of ids there may be an older one.
  const first = await source.readPage(syntheticLogId(BEGINNING, prefix), signal).catch((error) => {
    if (hasCode(error, 'AUTH0_CHECKPOINT_REFUSED')) return null
    throw error
  })
  const firstAt = storageTimeOf(readLogId(first?.entries[0]) ?? '')
  return { oldestAt: Math.min(oldestAt, firstAt ?? oldestAt), prefix, askedAt }
}
