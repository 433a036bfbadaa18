import type { ChangesPage, ChangesQuery } from '../ports.js'

/** How often the feed reports its freshness, and which subscribers it refuses or disconnects. */
export interface FeedLimits {
  /** The freshness is sent to every subscriber at least this often, in milliseconds. */
  tickMs: number
  /** Upper bound of the subscribers at one time; each may hold a page that it has not read. */
  maxSubscribers: number
  /** A subscriber that takes longer than this to read a page is disconnected, in milliseconds. */
  writeTimeoutMs: number
}

/** The default limits. With the time to read a page, a tick stays below 5 s. */
export const FEED_LIMITS: FeedLimits = {
  tickMs: 4_000,
  maxSubscribers: 2_000,
  writeTimeoutMs: 15_000,
}

/** However many changes there are, readers are woken no more often than this, in milliseconds. */
const LEAST_PAUSE_MS = 25

/** How many changes are read at once. */
const PAGE_SIZE = 1_000

/** What the feed is read from. */
export interface FeedDeps {
  readChanges(query: ChangesQuery): Promise<ChangesPage | null>
  /** Calls back when the feed may have moved; returns how to stop that. */
  subscribe(wake: () => void): () => void
  /** Default: {@link FEED_LIMITS}. */
  feedLimits?: FeedLimits | undefined
}

/** Where a subscription begins; `since` bounds what is loaded until then, not what changes afterwards. */
export type FeedStart = Pick<ChangesQuery, 'after' | 'since'>

/** The change feed, for those who follow it. */
export interface Feed {
  /**
   * Pages as they come: again after every change and at each tick. `null`, once: the cursor is none
   * of this feed; what follows begins anew. Ends with the feed.
   */
  follow(start: FeedStart): AsyncGenerator<ChangesPage | null>
  close(): void
}

/** Wakes its readers together, and lets those that stand at the same place share one reading. */
export function createFeed({ readChanges, subscribe, feedLimits }: FeedDeps): Feed {
  const { tickMs } = feedLimits ?? FEED_LIMITS
  const readings = new Map<string, Promise<ChangesPage | null>>()
  let isOpen = true
  let pause: NodeJS.Timeout | undefined
  let wakeReaders = () => {}
  const nextWake = () =>
    new Promise<void>((resolve) => {
      wakeReaders = resolve
    })
  let woken = nextWake()

  const wake = () => {
    pause = undefined
    readings.clear()
    wakeReaders()
    woken = nextWake()
  }
  const wakeSoon = () => {
    pause ??= setTimeout(wake, LEAST_PAUSE_MS)
  }
  const unsubscribe = subscribe(wakeSoon)
  const tick = setInterval(wakeSoon, tickMs)

  /** Only for those who have loaded: pages of a load are many, and hardly ever the same. */
  const readShared = (query: ChangesQuery) => {
    const place = String(query.after)
    const reading = readings.get(place) ?? readChanges(query)
    readings.set(place, reading)
    // A failure is nobody else's.
    reading.catch(() => readings.delete(place))
    return reading
  }

  async function* follow({ after, since }: FeedStart): AsyncGenerator<ChangesPage | null> {
    let cursor = after
    let isLoading = true
    while (isOpen) {
      // Before the reading: what comes in its course is read next.
      const moved = woken
      // Once loaded, readers differ by nothing but their place.
      const page: ChangesPage | null = isLoading
        ? await readChanges({ after: cursor, since, limit: PAGE_SIZE })
        : await readShared({ after: cursor, since: null, limit: PAGE_SIZE })
      yield page
      cursor = page?.cursor ?? null
      isLoading = page === null || (isLoading && page.more)
      if (page !== null && !page.more && isOpen) await moved
    }
  }

  return {
    follow,
    close() {
      isOpen = false
      unsubscribe()
      clearInterval(tick)
      clearTimeout(pause)
      wakeReaders()
    },
  }
}
