import { lagOf } from '../rules/freshness.js'
import { type Instant, toDateTime } from '../rules/instant.js'

/** `as_of` and `lag_ms`: how old what is known is, by the clock of the database. */
export function toFreshness({ asOf, now }: { asOf: Instant | null; now: Instant }) {
  return { as_of: toDateTime(asOf), lag_ms: lagOf(asOf, now) }
}
