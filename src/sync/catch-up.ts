import { withAbort } from '../abort.js'
import { aborted } from '../errors.js'
import type { Gap, LastLogoutStore, LogSource, Page, Span } from '../ports.js'
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
  /** Told what an operator should know of. */
  onFinding?: (finding: Finding) => void
}

/** What reading the log came upon. */
export type Finding =
  | { kind: 'gap'; gap: Gap; raisesFloor: boolean }
  /** Auth0 did not take the checkpoint; what is read continues from another. */
  | { kind: 'checkpoint_replaced'; from: string; to: string | null }
  /** So long nothing was read that logouts are searched for before the log is followed. */
  | { kind: 'outage'; span: Span }

/** What has just been stored. */
export interface SyncProgress {
  /**
   * Following the checkpoint, or sweeping: what was before it at a first start, or what is read a
   * second time, by following the checkpoint after an outage, or by reconciling.
   */
  stage: 'catch-up' | 'sweep' | 'outage' | 'reconcile'
  pages: number
  entries: number
  events: number
  /** Storage time reached: read up to here when catching up, down to here when sweeping. */
  reachedAt: Instant | null
}

/**
 * Follows pages from the checkpoint until the end of the log. The next page is on its way while one
 * is being stored; they are stored in order. Stopping between two pages loses nothing. `arrived`
 * runs for each page before it is stored.
 */
export async function catchUp(
  deps: SyncDeps,
  signal: AbortSignal,
  arrived: (page: ArrivedPage) => Promise<void> = async () => {},
): Promise<void> {
  for (;;) {
    const { checkpoint } = await deps.store.readProgress()
    if (checkpoint === null) return
    const end = await withAbort(signal, (controller) =>
      followFrom(checkpoint, { ...deps, arrived }, controller),
    )
    if (end === 'end') return
    // Somebody else moved the checkpoint: what was read from the old one is dropped.
  }
}

/** A page that has been read and not been stored. */
export interface ArrivedPage {
  askedAt: Instant
  /** Storage time of its last entry; `null` where it has none. */
  reachedAt: Instant | null
}

async function followFrom(
  checkpoint: string,
  deps: SyncDeps & { arrived(page: ArrivedPage): Promise<void> },
  controller: AbortController,
): Promise<'end' | 'moved'> {
  const { source, store } = deps
  const { signal } = controller
  try {
    let from = checkpoint
    let coming = source.readPage(from, signal)
    for (;;) {
      const page = await coming
      await deps.arrived({ askedAt: page.askedAt, reachedAt: readReached(page) })
      if (page.entries.length === 0) {
        await store.storeCaughtUp(from, page.askedAt)
        return 'end'
      }
      coming = source.readPage(page.next, signal)
      // Awaited in the next round; until then its failure is nobody's.
      coming.catch(() => {})
      if (!(await storePage(from, page, deps))) return 'moved'
      if (signal.aborted) throw aborted()
      from = page.next
    }
  } finally {
    // What was prefetched is not waited for.
    controller.abort()
  }
}

async function storePage(from: string, page: Page, deps: SyncDeps): Promise<boolean> {
  const { batch, events } = readBatch(page.entries, deps.types, page.askedAt)
  const reachedAt = readReached(page)
  const stored = await deps.store.storePage({ from, next: page.next, storedAt: reachedAt, batch })
  if (stored) {
    const entries = page.entries.length
    deps.onProgress?.({ stage: 'catch-up', pages: 1, entries, events, reachedAt })
  }
  return stored
}

/** Never later than the question: a log id of another layout may read as any time. */
function readReached({ entries, askedAt }: Page): Instant | null {
  const storedAt = storageTimeOf(readLogId(entries.at(-1)) ?? '')
  return storedAt === null ? null : Math.min(storedAt, askedAt)
}
