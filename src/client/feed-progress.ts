import type { Instant } from '../rules/instant.js'
import type { StatedFreshness } from '../rules/last-logout-response.js'
import { createAsOfHistory } from './as-of-history.js'
import type { FeedEvent } from './feed-events.js'
import type { LogoutCache } from './logout-cache.js'
import { createReloadTimer } from './reload-timer.js'

/** Minimum of `since`. The service rejects earlier instants. A client whose clock is not set yet would send one. */
const MIN_SINCE: Instant = Date.UTC(2000, 0, 1)

/**
 * The state of reading the change feed. A load is the reading of all logouts since an instant; later changes follow.
 *
 * | state | meaning | event | next state |
 * |---|---|---|---|
 * | `load_due` | the next connection loads everything | a connection begins | `loading` |
 * | `loading` | all logouts since `since` are arriving | freshness | `live` |
 * | | | the next connection begins | `loading`, resumed at the cursor; without a cursor, restarted |
 * | `live` | the cache holds all logouts since `since`; further changes are arriving | the next connection begins | `live`, resumed at the cursor |
 * | `loading`, `live` | | `reset` | `loading` with the same `since` |
 * | | | a reload is due | `load_due`; the connection is replaced |
 */
type FeedState = { name: 'load_due' } | ReadingState

interface ReadingState {
  name: 'loading' | 'live'
  /** The load delivers all logouts since this instant. */
  since: Instant
  cursor: string | null
}

/** The progress of reading the change feed. */
export interface FeedProgress {
  /** Returns the query of the next connection, which resumes at the cursor or begins a load. */
  nextQuery(): URLSearchParams
  /** Applies an event to the cache. */
  apply(event: FeedEvent): void
  /** The cache contains all logouts since this instant; `Infinity`: the first load is not complete. */
  completeSince(): Instant
  close(): void
}

/** Dependencies and limits of a `FeedProgress`. Times in milliseconds. */
export interface FeedProgressOptions {
  /** Maximum age of the logouts in a load. */
  horizonMs: number
  reloadIntervalMs: number
  maxReloadDelayMs: number
  now(): Instant
  /** Called when a reload is due: the current connection must be replaced. */
  onReload(): void
}

/** Creates the progress of a feed that has not been read yet. */
export function createFeedProgress(cache: LogoutCache, options: FeedProgressOptions): FeedProgress {
  let state: FeedState = { name: 'load_due' }
  let completeSince = Number.POSITIVE_INFINITY
  const compareAsOf = createAsOfHistory()
  const reload = createReloadTimer(options, () => {
    state = { name: 'load_due' }
    options.onReload()
  })

  function beginLoad(since: Instant): ReadingState {
    cache.beginLoad()
    return { name: 'loading', since, cursor: null }
  }

  function applyFreshness(freshness: StatedFreshness): void {
    const { wentBack, isLatest } = compareAsOf(freshness)
    if (state.name === 'loading') {
      state = { ...state, name: 'live' }
      completeSince = state.since
      // After a restore of the database, logouts are missing until the service has read as much of the log as before.
      // The cache keeps its logouts until then.
      if (isLatest) cache.dropUndelivered()
      reload.scheduleNext()
    }
    // After a restore, cursors that were already assigned can be assigned again to other changes.
    if (wentBack) reload.scheduleSoon()
  }

  return {
    nextQuery() {
      if (state.name === 'load_due' || state.cursor === null) {
        state = beginLoad(Math.max(options.now() - options.horizonMs, MIN_SINCE))
      }
      return toQuery(state)
    },
    apply(event) {
      if (event.kind === 'change') cache.merge(event.change)
      if (event.kind === 'columns') for (const change of event.changes) cache.merge(change)
      if (event.kind === 'freshness') applyFreshness(event.freshness)
      if (state.name === 'load_due') return
      if (event.kind === 'reset') state = beginLoad(state.since)
      if (event.cursor !== null) state.cursor = event.cursor
    },
    completeSince: () => completeSince,
    close: reload.stop,
  }
}

function toQuery({ since, cursor }: ReadingState): URLSearchParams {
  const query = new URLSearchParams({ since: new Date(since).toISOString() })
  if (cursor !== null) query.set('after', cursor)
  return query
}
