import type { Instant } from './instant.js'

/** A span of storage time: `from` is inclusive, `to` exclusive. */
export interface Span {
  from: Instant
  to: Instant
}

/**
 * Why a span was not read. `retention`: Auth0 deleted it. `empty_log`: the log was empty. `cold_start`: it was
 * deleted before the first start.
 */
export type GapReason = 'retention' | 'empty_log' | 'cold_start'

/** A span that was deleted before it was read. */
export interface Gap extends Span {
  reason: GapReason
}

/** A gap, and when it was detected or last extended. */
export interface RecordedGap extends Gap {
  detectedAt: Instant
}
