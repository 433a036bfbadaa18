/*
 * The change feed: all changes of last logouts, in commit order.
 *
 * 1. A subscriber reads pages after its cursor until no page is left. This first reading is the load. While the
 *    subscriber receives a page, the next page is read.
 * 2. The subscriber waits for the next wake-up, and then reads the pages after its cursor again. A notification of
 *    PostgreSQL causes a wake-up. Without notifications, a timer does: the heartbeat. If the last wake-up was less than
 *    25 ms ago, the next wake-up is delayed.
 * 3. After the load, subscribers with the same cursor share one query and one page. Most subscribers have the same
 *    cursor, so the number of queries does not grow with the number of subscribers.
 */

import { hasCode } from '../errors.js'
import type { ChangesPage, ChangesQuery } from '../rules/change-feed.js'
import { createLoadQueue, type LoadLimits, type LoadQueue } from './load-queue.js'
import { createWakeUp, type WakeUp } from './wake-up.js'

/** Limits of the change feed. */
export interface FeedLimits extends LoadLimits {
  /** Maximum time between two `freshness` events of a subscriber, in milliseconds. Excludes the time of the query. */
  heartbeatIntervalMs: number
  /** Maximum number of concurrent subscribers. Each can hold two pages in memory. */
  maxSubscribers: number
  /** How long a subscriber may take to read a page before it is disconnected, in milliseconds. */
  writeTimeoutMs: number
}

/** The default limits. The documentation promises a `freshness` event every 5 s, including the time of the query. */
export const FEED_LIMITS: FeedLimits = {
  heartbeatIntervalMs: 4_000,
  maxSubscribers: 2_000,
  writeTimeoutMs: 15_000,
  maxConcurrentLoads: 3,
  maxLoadWaitMs: 5_000,
}

/** Number of changes in a page of a stream. */
const STREAM_PAGE_SIZE = 1_000

/** Number of changes in a page in columns. They take about as many bytes as the changes of the other pages. */
const COLUMNS_PAGE_SIZE = 2_000

/**
 * Maximum length of the columns of a page, in UTF-16 code units. Clients reject an event of more than a million. Columns
 * are that long only if most ids have more than two hundred characters.
 */
const MAX_COLUMNS_LENGTH = 900_000

/** Dependencies of the feed. */
export interface FeedDeps {
  readChanges(query: ChangesQuery): Promise<ChangesPage | null>
  /** Subscribes to notifications of changes. Returns a function that ends the subscription. */
  subscribe(wake: () => void): () => void
  /** Default: {@link FEED_LIMITS}. */
  feedLimits?: FeedLimits | undefined
}

/** The beginning of a stream. `since` and `inColumns` apply only to the load. */
export type FeedStart = Pick<ChangesQuery, 'after' | 'since' | 'inColumns'>

/** The change feed. A `signal` aborts when the subscriber has left. */
export interface Feed {
  /**
   * Yields the pages of the load, and then a page at each wake-up. Yields `null` if the cursor is unknown, and then
   * repeats the load without a cursor. Ends when the feed is closed. Streams at the same cursor yield the same page
   * object.
   */
  stream(start: FeedStart, signal: AbortSignal): AsyncGenerator<ChangesPage | null>
  /** Reads a page, as {@link LoadQueue.read} does. */
  readPage: LoadQueue['read']
  isOverloaded: LoadQueue['isOverloaded']
  close(): void
}

/** Creates the feed. It subscribes to changes until it is closed. */
export function createFeed({ readChanges, subscribe, feedLimits = FEED_LIMITS }: FeedDeps): Feed {
  let isOpen = true
  const loads = createLoadQueue(readChanges, feedLimits)
  const sharedReads = createSharedReads((cursor) =>
    readChanges({ after: cursor, since: null, limit: STREAM_PAGE_SIZE }),
  )
  const wakeUp = createWakeUp(feedLimits.heartbeatIntervalMs, sharedReads.clear)
  const unsubscribe = subscribe(wakeUp.schedule)

  return {
    async *stream(start, signal) {
      const readLoad = (from: FeedStart) => readLoadPage(loads, from, signal)
      try {
        yield* readPages(start, {
          isOpen: () => isOpen,
          readLoad,
          readNext: sharedReads.read,
          wakeUp,
        })
      } catch (error) {
        // The subscriber has left, or the feed is closed.
        if (!hasCode(error, 'ABORTED')) throw error
      }
    },
    readPage: loads.read,
    isOverloaded: loads.isOverloaded,
    close() {
      isOpen = false
      loads.close()
      unsubscribe()
      wakeUp.close()
    },
  }
}

/** What a stream needs to read its pages. */
interface PageReads {
  isOpen(): boolean
  readLoad(start: FeedStart): Promise<ChangesPage | null>
  /** Reads a page after the load. */
  readNext(cursor: string | null): Promise<ChangesPage | null>
  wakeUp: Pick<WakeUp, 'next'>
}

async function* readPages(
  start: FeedStart,
  { isOpen, readLoad, readNext, wakeUp }: PageReads,
): AsyncGenerator<ChangesPage | null> {
  let isLoading = true
  const read = (cursor: string | null) => {
    // This call must precede the query. Otherwise, the stream would miss a change that is committed during the query.
    const nextWakeUp = wakeUp.next()
    const page = isLoading ? readLoad({ ...start, after: cursor }) : readNext(cursor)
    // The stream can end before it awaits the page.
    page.catch(() => {})
    return { page, nextWakeUp }
  }
  let cursor = start.after
  /** The next page of the load. */
  let next: ReturnType<typeof read> | undefined
  while (isOpen()) {
    let reading = next ?? read(cursor)
    let page = await reading.page
    // The last page is read again, because a slow subscriber may have received the previous page for a long time. The
    // freshness of the page would be that old.
    if (next !== undefined && page?.more === false) {
      reading = read(cursor)
      page = await reading.page
    }
    cursor = page?.cursor ?? null
    isLoading = page === null || (isLoading && page.more)
    next = isLoading ? read(cursor) : undefined
    yield page
    if (page !== null && !page.more && isOpen()) await reading.nextWakeUp
  }
}

async function readLoadPage(
  loads: LoadQueue,
  start: FeedStart,
  signal: AbortSignal,
): Promise<ChangesPage | null> {
  if (start.inColumns === true) {
    const page = await loads.read({ ...start, limit: COLUMNS_PAGE_SIZE }, signal)
    if ((page?.columns ?? '').length <= MAX_COLUMNS_LENGTH) return page
  }
  return loads.read({ ...start, inColumns: false, limit: STREAM_PAGE_SIZE }, signal)
}

/** The queries since the last wake-up, at most one for each cursor. */
interface SharedReads {
  read(cursor: string | null): Promise<ChangesPage | null>
  clear(): void
}

/** Creates reads that streams share after their load. Their queries differ only in the cursor. */
function createSharedReads(read: SharedReads['read']): SharedReads {
  const reads = new Map<string | null, Promise<ChangesPage | null>>()
  return {
    clear: () => reads.clear(),
    read(cursor) {
      const page = reads.get(cursor) ?? read(cursor)
      reads.set(cursor, page)
      // Do not cache rejections.
      page.catch(() => reads.delete(cursor))
      return page
    },
  }
}
