import { aborted } from '../errors.js'
import type { LastLogoutStore, LogSource, Page } from '../ports.js'
import { readLogId } from '../rules/entry.js'
import type { Instant } from '../rules/instant.js'
import { storageTimeOf } from '../rules/log-id.js'
import { readBatch } from './read-batch.js'

/** What reading the log needs. */
export interface SyncDeps {
  source: LogSource
  store: LastLogoutStore
  /** The event types that count. */
  types: ReadonlySet<string>
  /** Told after every page that has been stored. */
  onProgress?: (progress: SyncProgress) => void
}

/** What has just been stored. */
export interface SyncProgress {
  /** Following the checkpoint, or sweeping what is before it. */
  stage: 'catch-up' | 'sweep'
  pages: number
  entries: number
  events: number
  /** Storage time reached: read up to here when catching up, down to here when sweeping. */
  reachedAt: Instant | null
}

/**
 * Follows pages from the checkpoint until the end of the log. The next page is on its way while one
 * is being stored; they are stored in order. Stopping between two pages loses nothing.
 */
export async function catchUp(deps: SyncDeps, signal: AbortSignal): Promise<void> {
  const { source, store } = deps
  for (;;) {
    const { checkpoint } = await store.readProgress()
    if (checkpoint === null) return
    if ((await followFrom(checkpoint, source, deps, signal)) === 'end') return
    // Somebody else moved the checkpoint: what was read from the old one is dropped.
  }
}

async function followFrom(
  checkpoint: string,
  source: LogSource,
  deps: SyncDeps,
  signal: AbortSignal,
): Promise<'end' | 'moved'> {
  const prefetching = new AbortController()
  const signals = AbortSignal.any([signal, prefetching.signal])
  try {
    let from = checkpoint
    let coming = source.readPage(from, signals)
    for (;;) {
      const page = await coming
      if (page.entries.length === 0) {
        await deps.store.storeCaughtUp(from, page.askedAt)
        return 'end'
      }
      coming = source.readPage(page.next, signals)
      // Awaited in the next round; until then its failure is nobody's.
      coming.catch(() => {})
      if (!(await storePage(from, page, deps))) return 'moved'
      if (signal.aborted) throw aborted()
      from = page.next
    }
  } finally {
    prefetching.abort()
  }
}

async function storePage(from: string, page: Page, deps: SyncDeps): Promise<boolean> {
  const { batch, events } = readBatch(page.entries, deps.types)
  const reachedAt = storageTimeOf(readLogId(page.entries.at(-1)) ?? '')
  const stored = await deps.store.storePage({ from, next: page.next, storedAt: reachedAt, batch })
  if (stored) {
    const entries = page.entries.length
    deps.onProgress?.({ stage: 'catch-up', pages: 1, entries, events, reachedAt })
  }
  return stored
}
