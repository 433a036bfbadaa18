import type { Instant } from './instant.js'

/** A span of storage time: from, inclusive, to, exclusive. */
export interface Span {
  from: Instant
  to: Instant
}

/** Why a span could not be read: Auth0 had deleted it, or its log is empty, or the first start came too late for it. */
export type GapReason = 'retention' | 'empty_log' | 'cold_start'

/** A span of storage time that is known not to have been read. */
export interface Gap extends Span {
  reason: GapReason
}

/** A gap, and when it was found, or last found to have grown. */
export interface RecordedGap extends Gap {
  detectedAt: Instant
}
