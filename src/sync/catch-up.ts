import { withAbort } from '../async/abort.js'
import { abortedError } from '../errors.js'
import type { LogoutPage, SyncProgress } from '../measurements.js'
import { type LastLogoutStore, type LogSource, PAGE_SIZE, type Page } from '../ports.js'
import { readLogId } from '../rules/entry.js'
import type { Gap } from '../rules/gap.js'
import type { Instant } from '../rules/instant.js'
import { storageTimeOf } from '../rules/log-id.js'
import type { Span } from '../rules/span.js'
import type { StartLoop, SyncLoop } from './progress-guard.js'
import { readBatch } from './read-batch.js'

/** A catch-up that has taken longer than this, in milliseconds, may end at a full page, although more entries follow. */
const LONG_CATCH_UP_MS = 60_000

/** Precision of Auth0's `Date` header, in milliseconds. */
const DATE_PRECISION_MS = 1_000

/** The dependencies of reading the log. */
export interface SyncDeps {
  source: LogSource
  store: LastLogoutStore
  /** The event types that count as a logout. */
  types: ReadonlySet<string>
  /** Called after each stored page. */
  onProgress?: (progress: SyncProgress) => void
  /** Called for each condition that an operator should know of. */
  onFinding?: (finding: Finding) => void
  /** Called for each page with logout events that was stored after the first catch-up. */
  onLogoutPage?: ((page: LogoutPage) => void) | undefined
}

/** The dependencies of reading the log in loops that a progress guard limits. */
export interface LoopDeps extends SyncDeps {
  startLoop: StartLoop
}

/** A condition that was detected while syncing. */
export type Finding =
  /** Entries were deleted before they were read. */
  | { kind: 'gap'; gap: Gap; raisesFloor: boolean }
  /** Auth0 refused the checkpoint `from`. Reading continues from `to`; `null`: the log is empty. */
  | { kind: 'checkpoint_replaced'; from: string; to: string | null }
  /** Reading resumes after an outage of the worker. The logouts of `span` are searched before the pages are read. */
  | { kind: 'outage'; span: Span }
  /** The search for the logouts of an outage failed. The catch-up reads them later. */
  | { kind: 'search_failed'; error: unknown }
  /** At the first start, the oldest entry of the log is recent. */
  | { kind: 'new_tenant'; oldestAt: Instant }
  /** A loop started again although neither the checkpoint nor the sweep had moved. */
  | { kind: 'no_progress'; loop: SyncLoop }

/** Whether a catch-up also reads the entries that are found in this stage. */
export function isReadTwice(stage: SyncProgress['stage']): boolean {
  return stage === 'outage' || stage === 'reconcile'
}

/**
 * Reads pages from the checkpoint to the end of the log. While a page is being stored, the next page is requested. Pages
 * are stored in order, each together with its checkpoint, so that an abort between two pages loses nothing.
 *
 * @param onPage Runs before each page is stored.
 * @throws `NO_PROGRESS` if the database does not keep the rows that are written.
 * @throws `CLOCK_AHEAD` if the clock of the database is behind.
 */
export async function catchUp(
  deps: LoopDeps,
  signal: AbortSignal,
  onPage: (page: ArrivedPage) => Promise<void> = async () => {},
): Promise<void> {
  const nextRound = deps.startLoop('catch-up')
  for (;;) {
    const { checkpoint, asOf } = await nextRound()
    if (checkpoint === null) return
    // Until the first catch-up has ended, the delay of entries is not measured: no earlier poll could have read them.
    const onLogoutPage = asOf === null ? undefined : deps.onLogoutPage
    const end = await withAbort(signal, (controller) =>
      readPages(checkpoint, { ...deps, onLogoutPage, onPage }, controller),
    )
    if (end === 'end') return
    // Another poller has moved the checkpoint. The pages that were read from the old checkpoint are discarded.
  }
}

/** A page that was read and is not stored yet. */
export interface ArrivedPage {
  /** When the page was requested, by Auth0's clock. */
  requestedAt: Instant
  /** Storage time of the first entry; `null`: the page is empty, or the entry has no storage time. */
  firstAt: Instant | null
  /** Storage time of the last entry; `null`: the page is empty, or the entry has no storage time. */
  reachedAt: Instant | null
}

async function readPages(
  checkpoint: string,
  deps: SyncDeps & { onPage(page: ArrivedPage): Promise<void> },
  controller: AbortController,
): Promise<'end' | 'moved'> {
  const { source, store } = deps
  const { signal } = controller
  const read = async (from: string): Promise<ReceivedPage> => {
    const page = await source.readPage(from, signal)
    return { ...page, receivedAt: performance.now() }
  }
  try {
    let from = checkpoint
    let next = read(from)
    let beganAt: Instant | null = null
    for (;;) {
      const page = await next
      beganAt ??= page.requestedAt
      const firstAt = storageTimeOf(readLogId(page.entries[0]))
      await deps.onPage({ requestedAt: page.requestedAt, firstAt, reachedAt: readReached(page) })
      if (page.entries.length === 0) {
        await store.storeCaughtUp(from, page.requestedAt)
        return from === checkpoint || (await isCheckpointStored(from, store)) ? 'end' : 'moved'
      }
      const isLast = hasReachedEnd(page, beganAt)
      if (!isLast) {
        next = read(page.next)
        // The next round awaits the promise. Until then, a rejection must not count as unhandled.
        next.catch(() => {})
      }
      if (!(await storePage(from, page, deps))) return 'moved'
      if (isLast) {
        await store.storeCaughtUp(page.next, beganAt)
        return (await isCheckpointStored(page.next, store)) ? 'end' : 'moved'
      }
      if (signal.aborted) throw abortedError()
      from = page.next
    }
  } finally {
    // Cancels the request for the next page, if that page is not needed any more.
    controller.abort()
  }
}

/** Whether the database returns the checkpoint that was stored. */
async function isCheckpointStored(checkpoint: string, store: LastLogoutStore): Promise<boolean> {
  return (await store.readProgress()).checkpoint === checkpoint
}

interface ReceivedPage extends Page {
  receivedAt: number
}

async function storePage(from: string, page: ReceivedPage, deps: SyncDeps): Promise<boolean> {
  const { batch, events } = readBatch(page.entries, deps.types)
  const reachedAt = readReached(page)
  const stored = await deps.store.storePage({ from, next: page.next, storedAt: reachedAt, batch })
  if (stored) {
    const entries = page.entries.length
    deps.onProgress?.({ stage: 'catch-up', pages: 1, entries, events: events.length, reachedAt })
    const writtenMs = performance.now() - page.receivedAt
    if (events.length > 0) deps.onLogoutPage?.({ events, requestedAt: page.requestedAt, writtenMs })
  }
  return stored
}

/**
 * Whether the catch-up may end at this page: all entries from before the beginning of the catch-up have been read, and
 * few newer entries can be left. A busy tenant stores an entry between any two requests, so an empty page may never come.
 */
function hasReachedEnd({ entries, requestedAt }: Page, beganAt: Instant): boolean {
  if (entries.length >= PAGE_SIZE && requestedAt - beganAt < LONG_CATCH_UP_MS) return false
  const storedAt = storageTimeOf(readLogId(entries.at(-1)))
  return (
    storedAt !== null &&
    storedAt > beganAt + DATE_PRECISION_MS &&
    storedAt <= requestedAt + DATE_PRECISION_MS
  )
}

/**
 * Returns the storage time of the last entry, but not later than the request: if Auth0 changes the layout of log ids, a
 * log id can yield any time.
 */
function readReached({ entries, requestedAt }: Page): Instant | null {
  const storedAt = storageTimeOf(readLogId(entries.at(-1)))
  return storedAt === null ? null : Math.min(storedAt, requestedAt)
}
