/*
 * The change feed. Each subscriber holds a cursor, and reads pages after this cursor until no page is left. Then the
 * subscriber waits for the next wake-up, and reads again. A notification of PostgreSQL or the heartbeat causes a wake-up
 * at once. Further notifications within a short interval cause only one more wake-up, at the end of the interval. After a
 * wake-up, most subscribers hold the same cursor. Subscribers with the same cursor share one query and one page, so that
 * the load of the database does not grow with their number.
 */

import type { ChangesPage, ChangesQuery } from '../rules/change-feed.js'

/** How often the feed reports its freshness, and which subscribers it refuses or disconnects. */
export interface FeedLimits {
  /** Maximum time between two `freshness` events of a subscriber, in milliseconds. The time of the query is added. */
  heartbeatIntervalMs: number
  /** Maximum number of concurrent subscribers. Each can hold a page in memory. */
  maxSubscribers: number
  /** A subscriber that has not read a page within this time is disconnected, in milliseconds. */
  writeTimeoutMs: number
}

/** The default limits. The heartbeat interval and a query together take less than the documented 5 s. */
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

/** Where a stream begins. `since` limits only the load, not the changes after the load. */
export type FeedStart = Pick<ChangesQuery, 'after' | 'since'>

/** The change feed as a stream. */
export interface Feed {
  /**
   * Yields pages: first those of the load, then one page after each change and at each heartbeat. Yields `null` if the
   * cursor is unknown; the load then begins again without a cursor. Ends when the feed is closed. Streams at the same
   * cursor yield the same page object.
   */
  stream(start: FeedStart): AsyncGenerator<ChangesPage | null>
  close(): void
}

/** Creates the feed. It subscribes to changes until it is closed. */
export function createFeed({ readChanges, subscribe, feedLimits }: FeedDeps): Feed {
  const { heartbeatIntervalMs } = feedLimits ?? FEED_LIMITS
  let isOpen = true
  const read = (query: Omit<ChangesQuery, 'limit'>) =>
    readChanges({ ...query, limit: STREAM_PAGE_SIZE })
  const shared = createSharedReads((cursor) => read({ after: cursor, since: null }))
  const wakeUp = createWakeUp(shared.clear)
  const unsubscribe = subscribe(wakeUp.schedule)
  const heartbeat = setInterval(wakeUp.schedule, heartbeatIntervalMs)

  async function* stream({ after, since }: FeedStart): AsyncGenerator<ChangesPage | null> {
    let cursor = after
    let isLoading = true
    while (isOpen) {
      // This call precedes the query, so that a change that is committed during the query wakes this subscriber again.
      const nextChange = wakeUp.next()
      const page: ChangesPage | null = isLoading
        ? await read({ after: cursor, since })
        : await shared.read(cursor)
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
      wakeUp.close()
    },
  }
}

/** The wake-up that all subscribers wait for. */
interface WakeUp {
  /** Resolves at the next wake-up. */
  next(): Promise<void>
  /** Wakes all subscribers: at once, or when {@link MIN_WAKE_INTERVAL_MS} have passed since the last wake-up. */
  schedule(): void
  /** Wakes all subscribers for the last time. */
  close(): void
}

/** Creates the wake-up. `onWake` is called at each wake-up, before the subscribers continue. */
function createWakeUp(onWake: () => void): WakeUp {
  let resolveNext = () => {}
  const createNext = () =>
    new Promise<void>((resolve) => {
      resolveNext = resolve
    })
  let next = createNext()
  let isDue = false
  /** Runs until the next wake-up is allowed. */
  let timer: NodeJS.Timeout | undefined

  function wake(): void {
    isDue = false
    timer = setTimeout(endInterval, MIN_WAKE_INTERVAL_MS)
    onWake()
    resolveNext()
    next = createNext()
  }

  function endInterval(): void {
    timer = undefined
    if (isDue) wake()
  }

  return {
    next: () => next,
    schedule() {
      isDue = true
      if (timer === undefined) wake()
    },
    close() {
      clearTimeout(timer)
      resolveNext()
    },
  }
}

/** The queries since the last wake-up: one query for each cursor. */
interface SharedReads {
  read(cursor: string | null): Promise<ChangesPage | null>
  clear(): void
}

/** Shares queries among subscribers that have completed their load: only the cursor differs in their queries. */
function createSharedReads(read: SharedReads['read']): SharedReads {
  const reads = new Map<string | null, Promise<ChangesPage | null>>()
  return {
    clear: () => reads.clear(),
    read(cursor) {
      const reading = reads.get(cursor) ?? read(cursor)
      reads.set(cursor, reading)
      // Do not cache rejections.
      reading.catch(() => reads.delete(cursor))
      return reading
    },
  }
}
