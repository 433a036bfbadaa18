import { lagOf } from '../rules/freshness.js'
import { type Instant, toDateTime } from '../rules/instant.js'

/** Formats `as_of` and `lag_ms`: the freshness of the data, by the clock of the database. */
export function toFreshness({ asOf, now }: { asOf: Instant | null; now: Instant }) {
  return { as_of: toDateTime(asOf), lag_ms: lagOf(asOf, now) }
}
