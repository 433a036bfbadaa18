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

import type { ChangesPage, ChangesQuery } from '../rules/change-feed.js'
import { createWakeUp } from './wake-up.js'

/** Limits of the change feed. */
export interface FeedLimits {
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

/** The change feed as a stream. */
export interface Feed {
  /**
   * Yields the pages of the load, and then a page at each wake-up. Yields `null` if the cursor is unknown, and then
   * repeats the load without a cursor. Ends when the feed is closed. Streams at the same cursor yield the same page
   * object.
   */
  stream(start: FeedStart): AsyncGenerator<ChangesPage | null>
  close(): void
}

/** Creates the feed. It subscribes to changes until it is closed. */
export function createFeed({ readChanges, subscribe, feedLimits }: FeedDeps): Feed {
  const { heartbeatIntervalMs } = feedLimits ?? FEED_LIMITS
  let isOpen = true
  const sharedReads = createSharedReads((cursor) =>
    readChanges({ after: cursor, since: null, limit: STREAM_PAGE_SIZE }),
  )
  const wakeUp = createWakeUp(heartbeatIntervalMs, sharedReads.clear)
  const unsubscribe = subscribe(wakeUp.schedule)

  async function readLoad(start: FeedStart): Promise<ChangesPage | null> {
    if (start.inColumns === true) {
      const page = await readChanges({ ...start, limit: COLUMNS_PAGE_SIZE })
      if ((page?.columns ?? '').length <= MAX_COLUMNS_LENGTH) return page
    }
    return readChanges({ ...start, inColumns: false, limit: STREAM_PAGE_SIZE })
  }

  async function* stream(start: FeedStart): AsyncGenerator<ChangesPage | null> {
    let isLoading = true
    const read = (cursor: string | null) => {
      // This call must precede the query. Otherwise, the stream would miss a change that is committed during the query.
      const nextWakeUp = wakeUp.next()
      const page = isLoading ? readLoad({ ...start, after: cursor }) : sharedReads.read(cursor)
      // The stream can end before it awaits the page.
      page.catch(() => {})
      return { page, nextWakeUp }
    }
    let cursor = start.after
    /** The next page of the load. */
    let next: ReturnType<typeof read> | undefined
    while (isOpen) {
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
      if (page !== null && !page.more && isOpen) await reading.nextWakeUp
    }
  }

  return {
    stream,
    close() {
      isOpen = false
      unsubscribe()
      wakeUp.close()
    },
  }
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
