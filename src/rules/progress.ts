import type { Instant } from './instant.js'
import type { Span } from './span.js'

/** Instants in the tenant row: the only row about the tenant in the database. */
interface Times {
  /** The floor: the tokens of all users whose login is not after this instant are revoked. */
  floorAt: Instant | null
  lastPollAt: Instant | null
  /**
   * When the last reconcile began: a second search of the recent log for entries that became visible late. Before the
   * first reconcile: when reading of the log began.
   */
  reconciledTo: Instant | null
  /** When the row was read, by the clock of the database. */
  now: Instant
}

/** How far the log has been read, as stored in the tenant row. */
export interface StoredProgress extends Times {
  /** The log id to continue from. */
  checkpoint: string | null
  /** All entries that Auth0 stored before this instant have been read. */
  asOf: Instant | null
  /** The remaining span of the sweep, the search for logouts from before the first start; `null`: nothing remains. */
  sweep: Span | null
}

/** Progress without a checkpoint. A sweep continues even if the log becomes empty. */
interface WithoutCheckpoint {
  checkpoint: null
  sweep: Span | null
}

/**
 * How far the log has been read.
 *
 * | state | meaning | event | next state |
 * |---|---|---|---|
 * | `not_started` | the log was never read | the log holds entries | `sweeping` |
 * | | | the log is empty | `empty_log` |
 * | `empty_log` | the log was read and held no entry | an entry appears | `reading` |
 * | | | entries appear that are older than the last poll, at which Auth0 had hidden them | `sweeping`, after a gap is recorded |
 * | | | the log is still empty after a time without polls | `empty_log`, after a gap is recorded |
 * | `sweeping` | pages are read from the checkpoint on, while a sweep searches for older logouts, the newest first | the sweep is complete | `reading` |
 * | `reading` | pages are read from the checkpoint to the end of the log | reading resumes after an outage | `reading`, after the outage is searched, and a gap is recorded if entries were deleted |
 * | `sweeping`, `reading` | | Auth0 refuses the checkpoint | the same state, from the same storage time or from the oldest entry; or `sweeping`, from the newest entry; or `empty_log` |
 *
 * `asOf` is `null` until pages have been read to the end of the log and the sweep is complete.
 */
export type Progress = Times &
  (
    | ({ state: 'not_started'; asOf: null } & WithoutCheckpoint)
    | ({ state: 'empty_log'; asOf: Instant } & WithoutCheckpoint)
    | { state: 'sweeping'; checkpoint: string; asOf: Instant | null; sweep: Span }
    | { state: 'reading'; checkpoint: string; asOf: Instant | null; sweep: null }
  )

/** Determines the state of the tenant row. */
export function toProgress({ checkpoint, asOf, sweep, ...times }: StoredProgress): Progress {
  if (checkpoint === null) {
    return asOf === null
      ? { state: 'not_started', checkpoint, asOf, sweep, ...times }
      : { state: 'empty_log', checkpoint, asOf, sweep, ...times }
  }
  return sweep === null
    ? { state: 'reading', checkpoint, asOf, sweep, ...times }
    : { state: 'sweeping', checkpoint, asOf, sweep, ...times }
}
