import type { Instant } from './instant.js'
import type { Span } from './span.js'

/** When something last happened to the tenant row, and the floor. */
interface Times {
  floorAt: Instant | null
  lastPollAt: Instant | null
  /** When the last reconcile began. Before the first one: when reading the log began. */
  reconciledTo: Instant | null
  /** When this was read, by the clock of the database. */
  now: Instant
}

/** How far the log has been read, as the tenant row holds it. */
export interface StoredProgress extends Times {
  /** The log id to continue from. */
  checkpoint: string | null
  /** Everything stored in the log before this instant is known. */
  asOf: Instant | null
  /** What the sweep still has to read. */
  sweep: Span | null
}

/** No entry has been seen. A sweep is left over where the log became empty during one. */
interface Empty {
  checkpoint: null
  sweep: Span | null
}

/**
 * How far the log has been read.
 *
 * | state | meaning | event | next state |
 * |---|---|---|---|
 * | `not_started` | nothing is known | the log holds entries | `sweeping` |
 * | | | the log is empty | `empty_log` |
 * | `empty_log` | the log was read and held nothing | an entry appears | `reading` |
 * | | | an older entry appears, which was hidden | `sweeping`, after a gap |
 * | | | still empty after a pause | `empty_log`, after a gap |
 * | `sweeping` | pages follow the checkpoint; older logouts are searched, the newest first | the search is complete | `reading` |
 * | `reading` | pages follow the checkpoint to the end of the log | resumed after an outage | `reading`, after a search of the outage, and a gap where entries were deleted |
 * | `sweeping`, `reading` | | Auth0 refuses the checkpoint | the same, from the same storage time or the oldest entry; `sweeping`, from the newest entry; `empty_log` |
 *
 * `asOf` is `null` until the first catch-up has ended with nothing left to sweep.
 */
export type Progress = Times &
  (
    | ({ state: 'not_started'; asOf: null } & Empty)
    | ({ state: 'empty_log'; asOf: Instant } & Empty)
    | { state: 'sweeping'; checkpoint: string; asOf: Instant | null; sweep: Span }
    | { state: 'reading'; checkpoint: string; asOf: Instant | null; sweep: null }
  )

/** Names the state that the tenant row is in. */
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
