import type { Instant } from './instant.js'

/** A span of storage time, the time at which Auth0 stored entries. `from` is inclusive, `to` exclusive. */
export interface Span {
  from: Instant
  to: Instant
}
