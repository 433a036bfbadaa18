import type { Instant } from '../rules/instant.js'
import type { ServerSentEvent } from './event-stream.js'
import type { StatedFreshness } from './freshness.js'
import type { Held } from './held.js'
import { createReloadTimer } from './reload-timer.js'

/** The service rejects an earlier instant, as the clock of a machine without a battery shows. */
const MIN_SINCE: Instant = Date.UTC(2000, 0, 1)

/** How far the feed has been read, which logouts are therefore held, and when everything is loaded anew. */
export interface FeedProgress {
  /** Query of the next connection: resumes at the cursor; without one it begins a load of everything. */
  nextQuery(): URLSearchParams
  /** Applies a change or a reset, and takes the event's cursor. */
  apply(event: ServerSentEvent): void
  /** Takes a freshness: all changes before it have been applied. It completes a load, and may show that another is needed. */
  advance(stated: StatedFreshness): void
  /** All logouts from this instant on are held; `Infinity` before the first load is complete. */
  heldSince(): Instant
  close(): void
}

/** What progress depends on. Times in milliseconds. */
export interface FeedProgressOptions {
  /** How far back a load reaches. */
  horizonMs: number
  reloadIntervalMs: number
  maxReloadDelayMs: number
  now(): Instant
  /** Called when the next connection is to load everything. */
  onReload(): void
}

/** Begins without a cursor. */
export function createFeedProgress(held: Held, options: FeedProgressOptions): FeedProgress {
  let cursor: string | null = null
  let isLoading = false
  let loadingSince = 0
  let heldSince = Number.POSITIVE_INFINITY
  let lastAsOf = 0
  let maxAsOf = 0
  const reload = createReloadTimer(options, () => {
    cursor = null
    options.onReload()
  })

  function beginLoad(): void {
    isLoading = true
    held.beginLoad()
  }

  return {
    nextQuery() {
      // A load that was cut off resumes at its cursor and keeps its beginning.
      if (cursor === null) {
        loadingSince = Math.max(options.now() - options.horizonMs, MIN_SINCE)
        beginLoad()
      }
      const query = new URLSearchParams({ since: new Date(loadingSince).toISOString() })
      if (cursor !== null) query.set('after', cursor)
      return query
    },
    apply({ name, data, id }) {
      if (name === 'change') held.merge(JSON.parse(data))
      if (name === 'reset') {
        cursor = null
        beginLoad()
      }
      if (id) cursor = id
    },
    advance({ asOf, lagMs }) {
      if (isLoading) {
        isLoading = false
        heldSince = loadingSince
        // A service whose database was set back delivers less, until it has read the log again that far.
        if (asOf !== null && asOf >= maxAsOf) held.dropUndelivered()
        reload.scheduleNext()
      }
      // A database that was set back may give the same positions to other changes.
      if ((asOf ?? 0) < lastAsOf) reload.scheduleSoon()
      lastAsOf = asOf ?? 0
      if (lagMs < Number.POSITIVE_INFINITY) maxAsOf = Math.max(maxAsOf, lastAsOf)
    },
    heldSince: () => heldSince,
    close: reload.stop,
  }
}
