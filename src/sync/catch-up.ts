import { withAbort } from '../async/abort.js'
import { abortedError } from '../errors.js'
import type { LogoutPage, SyncProgress } from '../measurements.js'
import type { LastLogoutStore, LogSource } from '../ports.js'
import type { Gap } from '../rules/gap.js'
import type { Instant } from '../rules/instant.js'
import type { Span } from '../rules/span.js'
import type { StartLoop, SyncLoop } from './progress-guard.js'
import { toBatch } from './read-batch.js'
import { type ReadPage, readPages } from './read-pages.js'

/** Dependencies of the functions that read the log. */
export interface SyncDeps {
  source: LogSource
  store: LastLogoutStore
  /** The event types that count as a logout. */
  types: ReadonlySet<string>
  /** Called after each stored page. */
  onProgress?: (progress: SyncProgress) => void
  /** Called for each condition that an operator should know of. */
  onFinding?: (finding: Finding) => void
  /** Called for each stored page that contains logout events, after the first catch-up. */
  onLogoutPage?: ((page: LogoutPage) => void) | undefined
}

/** Dependencies of the functions whose loops are limited by a progress guard. */
export interface LoopDeps extends SyncDeps {
  startLoop: StartLoop
}

/** A condition that was detected while syncing. */
export type Finding =
  /** Entries were deleted before they were read. */
  | { kind: 'gap'; gap: Gap; raisesFloor: boolean }
  /** Auth0 refused the checkpoint `from`. Reading continues at the checkpoint `to`; `null`: the log is empty. */
  | { kind: 'checkpoint_replaced'; from: string; to: string | null }
  /** The worker reads the log again after an outage. It searches the logouts of `span` before it reads the pages. */
  | { kind: 'outage'; span: Span }
  /** The search for the logouts of an outage failed. The catch-up will read these logouts. */
  | { kind: 'search_failed'; error: unknown }
  /** At the first start, even the oldest entry of the log is recent, or the log is empty: `oldestAt` is `null`. */
  | { kind: 'new_tenant'; oldestAt: Instant | null }
  /** A loop began another round, although neither the checkpoint nor the span to sweep had changed. */
  | { kind: 'no_progress'; loop: SyncLoop }

/** Whether a later catch-up reads the entries of this stage again. Only the catch-up then counts them. */
export function isReadAgainByCatchUp(stage: SyncProgress['stage']): boolean {
  return stage === 'outage' || stage === 'reconcile'
}

/**
 * Reads and stores pages from the checkpoint to the end of the log. The checkpoint is the log id from which the next
 * page is read.
 *
 * While pages are being stored, `readPages` requests the next pages. Pages that arrive at the same time are stored
 * together. Pages are stored in order, and the checkpoint moves in the same transaction, so an abort loses nothing.
 *
 * @param onPage Runs before each page is stored.
 * @throws `NO_PROGRESS` if the database does not keep what was written.
 * @throws `CLOCK_AHEAD` if Auth0's clock is more than a minute ahead of the clock of the database.
 */
export async function catchUp(
  deps: LoopDeps,
  signal: AbortSignal,
  onPage: (page: ReadPage) => Promise<void> = async () => {},
): Promise<void> {
  const nextRound = deps.startLoop('catch-up')
  for (;;) {
    const { checkpoint, asOf } = await nextRound()
    if (checkpoint === null) return
    // The first catch-up reads old entries, which would distort the metric of the delay from a logout to its storage.
    const onLogoutPage = asOf === null ? undefined : deps.onLogoutPage
    const end = await withAbort(signal, (controller) =>
      storePages(checkpoint, { ...deps, onLogoutPage, onPage }, controller),
    )
    if (end === 'end') return
    // Another process has moved the checkpoint, so the pages from the old checkpoint were discarded.
  }
}

/** Stores pages until the log ends. Returns `moved` if another process has moved the checkpoint. */
async function storePages(
  checkpoint: string,
  deps: SyncDeps & { onPage(page: ReadPage): Promise<void> },
  controller: AbortController,
): Promise<'end' | 'moved'> {
  const { store } = deps
  const { signal } = controller
  try {
    const pages = readPages(checkpoint, deps, signal)
    let from = checkpoint
    for (;;) {
      const group = await pages.take()
      for (const page of group) await deps.onPage(page)
      pages.proceed()
      if (!(await storeGroup(from, group, deps))) return 'moved'
      const last = group.at(-1)
      from = last?.next ?? from
      if (last === undefined || last.isLast) {
        const hasStored = from !== checkpoint
        return !hasStored || (await isCheckpointStored(from, store)) ? 'end' : 'moved'
      }
      if (signal.aborted) throw abortedError()
    }
  } finally {
    // Cancels requests for pages that are no longer needed.
    controller.abort()
  }
}

/** Whether the database returns `checkpoint`, which was stored just before. */
async function isCheckpointStored(checkpoint: string, store: LastLogoutStore): Promise<boolean> {
  return (await store.readProgress()).checkpoint === checkpoint
}

/**
 * Stores consecutive pages that begin at the checkpoint `from`. Returns false if another process has moved the
 * checkpoint.
 */
async function storeGroup(from: string, group: ReadPage[], deps: SyncDeps): Promise<boolean> {
  const pages = group.filter(({ entries }) => entries > 0)
  const last = pages.at(-1)
  if (last !== undefined) {
    const { next, reachedAt: storedAt, isLast: endsCatchUp } = last
    const batch = toBatch(pages)
    if (!(await deps.store.storePage({ from, next, storedAt, batch, endsCatchUp }))) return false
    for (const page of pages) reportPage(page, deps)
  }
  const end = group.find(({ entries }) => entries === 0)
  return end === undefined || (await deps.store.storeCaughtUp(end.next, end.requestedAt)) !== null
}

function reportPage(page: ReadPage, { onProgress, onLogoutPage }: SyncDeps): void {
  const { entries, events, reachedAt, requestedAt } = page
  onProgress?.({ stage: 'catch-up', pages: 1, entries, events: events.length, reachedAt })
  const writtenMs = performance.now() - page.receivedAt
  if (events.length > 0) onLogoutPage?.({ events, requestedAt, writtenMs })
}
