import type { Instant } from './instant.js'

/** A span of storage time: `from` is inclusive, `to` exclusive. */
export interface Span {
  from: Instant
  to: Instant
}
