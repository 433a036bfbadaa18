import { lagOf } from '../rules/freshness.js'
import { type Instant, toDateTime } from '../rules/instant.js'

/** Formats the freshness of the data: `as_of`, the instant up to which the log has been read, and its age. */
export function toFreshness({ asOf, now }: { asOf: Instant | null; now: Instant }) {
  return { as_of: toDateTime(asOf), lag_ms: lagOf(asOf, now) }
}
