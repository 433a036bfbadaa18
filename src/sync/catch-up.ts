import { withAbort } from '../async/abort.js'
import { aborted } from '../errors.js'
import type { LogoutPage, SyncProgress } from '../measurements.js'
import { type LastLogoutStore, type LogSource, PAGE_SIZE, type Page } from '../ports.js'
import { readLogId } from '../rules/entry.js'
import type { Gap } from '../rules/gap.js'
import type { Instant } from '../rules/instant.js'
import { storageTimeOf } from '../rules/log-id.js'
import type { Span } from '../rules/span.js'
import type { StartLoop, SyncLoop } from './progress-guard.js'
import { readBatch } from './read-batch.js'

/** A catch-up that takes longer may end at a full page, in milliseconds. */
const LONG_CATCH_UP_MS = 60_000

/** Precision of Auth0's `Date` header, in milliseconds. */
const DATE_PRECISION_MS = 1_000

/** What reading the log needs. */
export interface SyncDeps {
  source: LogSource
  store: LastLogoutStore
  /** The event types that count as a logout. */
  types: ReadonlySet<string>
  /** Called after each stored page. */
  onProgress?: (progress: SyncProgress) => void
  /** Called for each condition that an operator should know. */
  onFinding?: (finding: Finding) => void
  /** Called for each page with logout events that was stored after the first catch-up. */
  onLogoutPage?: ((page: LogoutPage) => void) | undefined
}

/** For loops that can start again. */
export interface LoopDeps extends SyncDeps {
  startLoop: StartLoop
}

/** Condition detected while syncing. */
export type Finding =
  | { kind: 'gap'; gap: Gap; raisesFloor: boolean }
  /** Auth0 refused the checkpoint. Reading continues from another one. */
  | { kind: 'checkpoint_replaced'; from: string; to: string | null }
  /** Resuming after an outage: its logouts are searched before the pages are read. */
  | { kind: 'outage'; span: Span }
  /** This search failed. The pages are read without it. */
  | { kind: 'search_failed'; error: unknown }
  /** At a first start: the log begins only just now. */
  | { kind: 'new_tenant'; oldestAt: Instant }
  /** A loop started again, and neither the checkpoint nor the sweep had moved. */
  | { kind: 'no_progress'; loop: SyncLoop }

/** Whether a catch-up reads the entries of this stage as well. */
export function isReadTwice(stage: SyncProgress['stage']): boolean {
  return stage === 'outage' || stage === 'reconcile'
}

/**
 * Reads pages from the checkpoint to the end of the log. The next page is requested while one is being
 * stored. Pages are stored in order, each together with its checkpoint, so that an abort between two pages
 * loses nothing.
 *
 * @param onPage Runs before a page is stored.
 * @throws `NO_PROGRESS` if the database does not keep what is written.
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
    // Entries from before the first catch-up are not late: no earlier poll could have read them.
    const onLogoutPage = asOf === null ? undefined : deps.onLogoutPage
    const end = await withAbort(signal, (controller) =>
      readPages(checkpoint, { ...deps, onLogoutPage, onPage }, controller),
    )
    if (end === 'end') return
    // Another poller moved the checkpoint: pages read from the old one are discarded.
  }
}

/** A page that was read and is not stored yet. */
export interface ArrivedPage {
  requestedAt: Instant
  /** Storage time of its first entry; `null` where it has none. */
  firstAt: Instant | null
  /** Storage time of its last entry; `null` where it has none. */
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
        return from === checkpoint || (await isStoredTo(from, store)) ? 'end' : 'moved'
      }
      const isLast = hasReachedEnd(page, beganAt)
      if (!isLast) {
        next = read(page.next)
        // Awaited in the next round. Until then a rejection must not count as unhandled.
        next.catch(() => {})
      }
      if (!(await storePage(from, page, deps))) return 'moved'
      if (isLast) {
        await store.storeCaughtUp(page.next, beganAt)
        return (await isStoredTo(page.next, store)) ? 'end' : 'moved'
      }
      if (signal.aborted) throw aborted()
      from = page.next
    }
  } finally {
    // Cancels a page that was requested ahead.
    controller.abort()
  }
}

/** Whether the database returns the checkpoint that was stored. */
async function isStoredTo(checkpoint: string, store: LastLogoutStore): Promise<boolean> {
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
 * Whether everything stored before the catch-up began has been read, and hardly anything is left. In a
 * tenant that stores an entry between any two requests, no page is ever empty.
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

/** Not later than the request: an id of another layout can read as any time. */
function readReached({ entries, requestedAt }: Page): Instant | null {
  const storedAt = storageTimeOf(readLogId(entries.at(-1)))
  return storedAt === null ? null : Math.min(storedAt, requestedAt)
}
