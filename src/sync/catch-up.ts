import { withAbort } from '../async/abort.js'
import { aborted } from '../errors.js'
import { type LastLogoutStore, type LogSource, PAGE_SIZE, type Page } from '../ports.js'
import { type LogoutEvent, readLogId } from '../rules/entry.js'
import type { Instant } from '../rules/instant.js'
import { storageTimeOf } from '../rules/log-id.js'
import type { Gap, Span } from '../rules/span.js'
import type { StartLoop, SyncLoop } from './progress-guard.js'
import { readBatch } from './read-batch.js'

/** A catch-up that takes longer need not come to a page that is not full, in milliseconds. */
const LONG_MS = 60_000

/** How exact Auth0's `Date` is, in milliseconds. */
const CLOCK_MS = 1_000

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
  /** Told of every page with logout events that was stored while the log was being followed. */
  onFollowed?: ((page: FollowedPage) => void) | undefined
}

/** What loops that may start over need beside. */
export interface LoopDeps extends SyncDeps {
  startLoop: StartLoop
}

/** When the logout events of a page could be known, and when they were. */
interface FollowedPage {
  events: LogoutEvent[]
  askedAt: Instant
  /** From the answer to the commit. */
  writtenMs: number
}

/** What reading the log came upon. */
export type Finding =
  | { kind: 'gap'; gap: Gap; raisesFloor: boolean }
  /** Auth0 did not take the checkpoint; what is read continues from another. */
  | { kind: 'checkpoint_replaced'; from: string; to: string | null }
  /** So long nothing was read that logouts are searched for before the log is followed. */
  | { kind: 'outage'; span: Span }
  /** That search failed; the log is followed without it. */
  | { kind: 'search_failed'; error: unknown }
  /** A first start found a log that begins only just now. */
  | { kind: 'new_tenant'; oldestAt: Instant }
  /** A loop started over, and neither the checkpoint nor the sweep had moved. */
  | { kind: 'no_progress'; loop: SyncLoop }

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

/** Whether what a stage reads is read a second time, and has been or will be told as read. */
export function isReadTwice(stage: SyncProgress['stage']): boolean {
  return stage === 'outage' || stage === 'reconcile'
}

/**
 * Follows pages from the checkpoint until the end of the log. The next page is on its way while one
 * is being stored; they are stored in order. Stopping between two pages loses nothing. `arrived`
 * runs for each page before it is stored.
 *
 * @throws `NO_PROGRESS` where the store does not take what is read; `CLOCK_AHEAD` where the clock of the database
 *   is behind.
 */
export async function catchUp(
  deps: LoopDeps,
  signal: AbortSignal,
  arrived: (page: ArrivedPage) => Promise<void> = async () => {},
): Promise<void> {
  const nextRound = deps.startLoop('catch-up')
  for (;;) {
    const { checkpoint, asOf } = await nextRound()
    if (checkpoint === null) return
    // What was there before the first catch-up has ended came late for nobody.
    const onFollowed = asOf === null ? undefined : deps.onFollowed
    const end = await withAbort(signal, (controller) =>
      followFrom(checkpoint, { ...deps, onFollowed, arrived }, controller),
    )
    if (end === 'end') return
    // Somebody else moved the checkpoint: what was read from the old one is dropped.
  }
}

/** A page that has been read and not been stored. */
export interface ArrivedPage {
  askedAt: Instant
  /** Storage time of its first entry; `null` where it has none. */
  firstAt: Instant | null
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
  const read = async (from: string): Promise<ReceivedPage> => {
    const page = await source.readPage(from, signal)
    return { ...page, receivedAt: performance.now() }
  }
  try {
    let from = checkpoint
    let coming = read(from)
    let beganAt: Instant | null = null
    for (;;) {
      const page = await coming
      beganAt ??= page.askedAt
      const firstAt = storageTimeOf(readLogId(page.entries[0]) ?? '')
      await deps.arrived({ askedAt: page.askedAt, firstAt, reachedAt: readReached(page) })
      if (page.entries.length === 0) {
        await store.storeCaughtUp(from, page.askedAt)
        return from === checkpoint || (await isStoredTo(from, store)) ? 'end' : 'moved'
      }
      const isLast = hasReachedHead(page, beganAt)
      if (!isLast) {
        coming = read(page.next)
        // Awaited in the next round; until then its failure is nobody's.
        coming.catch(() => {})
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
    // What was prefetched is not waited for.
    controller.abort()
  }
}

/** Whether the checkpoint that is read back is the one that was stored. */
async function isStoredTo(checkpoint: string, store: LastLogoutStore): Promise<boolean> {
  return (await store.readProgress()).checkpoint === checkpoint
}

interface ReceivedPage extends Page {
  receivedAt: number
}

async function storePage(from: string, page: ReceivedPage, deps: SyncDeps): Promise<boolean> {
  const { batch, events, logouts } = readBatch(page.entries, deps.types)
  const reachedAt = readReached(page)
  const stored = await deps.store.storePage({ from, next: page.next, storedAt: reachedAt, batch })
  if (stored) {
    const entries = page.entries.length
    deps.onProgress?.({ stage: 'catch-up', pages: 1, entries, events, reachedAt })
    const writtenMs = performance.now() - page.receivedAt
    if (events > 0) deps.onFollowed?.({ events: logouts, askedAt: page.askedAt, writtenMs })
  }
  return stored
}

/**
 * Whether all has been read that was stored before the catch-up began, and there is hardly more. Where
 * something is stored between any two requests, an empty page never comes, and what waits for the end
 * of the log would wait for ever.
 */
function hasReachedHead({ entries, askedAt }: Page, beganAt: Instant): boolean {
  if (entries.length >= PAGE_SIZE && askedAt - beganAt < LONG_MS) return false
  const storedAt = storageTimeOf(readLogId(entries.at(-1)) ?? '')
  return storedAt !== null && storedAt > beganAt + CLOCK_MS && storedAt <= askedAt + CLOCK_MS
}

/** Never later than the question: a log id of another layout may read as any time. */
function readReached({ entries, askedAt }: Page): Instant | null {
  const storedAt = storageTimeOf(readLogId(entries.at(-1)) ?? '')
  return storedAt === null ? null : Math.min(storedAt, askedAt)
}
