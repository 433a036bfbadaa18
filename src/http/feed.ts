/*
 * The change feed. Each subscriber holds a cursor and loads pages from it until none is left. Then it waits for
 * the next wake-up, and reads again. A wake-up is caused by a notification of PostgreSQL or by the heartbeat, and is
 * delayed a little, so that a burst of changes causes one. After a wake-up, most subscribers hold the same cursor.
 * They share one query for each cursor, so that the load of the database does not grow with their number.
 */

import type { ChangesPage, ChangesQuery } from '../rules/change-feed.js'

/** How often the feed reports its freshness, and which subscribers it refuses or disconnects. */
export interface FeedLimits {
  /** Maximum interval between two `freshness` events of a subscriber, in milliseconds, without the time of the query. */
  heartbeatIntervalMs: number
  /** Maximum number of concurrent subscribers. Each can hold a page in memory. */
  maxSubscribers: number
  /** A subscriber that has not read a page within this time is disconnected, in milliseconds. */
  writeTimeoutMs: number
}

/** The default limits. Together with the query, the heartbeat interval stays below the documented 5 s. */
export const FEED_LIMITS: FeedLimits = {
  heartbeatIntervalMs: 4_000,
  maxSubscribers: 2_000,
  writeTimeoutMs: 15_000,
}

/** Minimum interval between two wake-ups, in milliseconds. */
const MIN_WAKE_INTERVAL_MS = 25

/** Number of changes in a page of a stream. */
const STREAM_PAGE_SIZE = 1_000

/** Dependencies of the feed. */
export interface FeedDeps {
  readChanges(query: ChangesQuery): Promise<ChangesPage | null>
  /** Calls `wake` when there may be changes. Returns a function that ends the subscription. */
  subscribe(wake: () => void): () => void
  /** Default: {@link FEED_LIMITS}. */
  feedLimits?: FeedLimits | undefined
}

/** The cursor where a stream begins. `since` limits the load, not the changes after it. */
export type FeedStart = Pick<ChangesQuery, 'after' | 'since'>

/** The change feed as a stream. */
export interface Feed {
  /**
   * Yields pages: first the load, then one after each change and at each heartbeat. `null`: the cursor is unknown, and
   * the load begins again without one. Ends when the feed is closed.
   */
  stream(start: FeedStart): AsyncGenerator<ChangesPage | null>
  close(): void
}

/** Creates the feed. It subscribes to changes until it is closed. */
export function createFeed({ readChanges, subscribe, feedLimits }: FeedDeps): Feed {
  const { heartbeatIntervalMs } = feedLimits ?? FEED_LIMITS
  /** The queries since the last wake-up, by cursor. */
  const queries = new Map<string, Promise<ChangesPage | null>>()
  let isOpen = true
  let wakeTimer: NodeJS.Timeout | undefined
  let resolveWake = () => {}
  const nextWake = () =>
    new Promise<void>((resolve) => {
      resolveWake = resolve
    })
  let woken = nextWake()

  const wake = () => {
    wakeTimer = undefined
    queries.clear()
    resolveWake()
    woken = nextWake()
  }
  const scheduleWake = () => {
    wakeTimer ??= setTimeout(wake, MIN_WAKE_INTERVAL_MS)
  }
  const unsubscribe = subscribe(scheduleWake)
  const heartbeat = setInterval(scheduleWake, heartbeatIntervalMs)

  /** Only for subscribers that have loaded: a load has many pages, which are hardly ever the same. */
  const readShared = (query: ChangesQuery) => {
    const cursor = String(query.after)
    const reading = queries.get(cursor) ?? readChanges(query)
    queries.set(cursor, reading)
    // Do not cache rejections.
    reading.catch(() => queries.delete(cursor))
    return reading
  }

  async function* stream({ after, since }: FeedStart): AsyncGenerator<ChangesPage | null> {
    let cursor = after
    let isLoading = true
    while (isOpen) {
      // Taken before the query: a change that is committed during the query wakes this subscriber again.
      const nextChange = woken
      // After the load, queries differ only by their cursor.
      const page: ChangesPage | null = isLoading
        ? await readChanges({ after: cursor, since, limit: STREAM_PAGE_SIZE })
        : await readShared({ after: cursor, since: null, limit: STREAM_PAGE_SIZE })
      yield page
      cursor = page?.cursor ?? null
      isLoading = page === null || (isLoading && page.more)
      if (page !== null && !page.more && isOpen) await nextChange
    }
  }

  return {
    stream,
    close() {
      isOpen = false
      unsubscribe()
      clearInterval(heartbeat)
      clearTimeout(wakeTimer)
      resolveWake()
    },
  }
}
