import { type Instant, toDateTime } from '../rules/instant.js'

/** `as_of` and `lag_ms`: how old what is known is. Clocks that disagree do not make it negative. */
export function toFreshness(asOf: Instant | null, now: Instant) {
  return { as_of: toDateTime(asOf), lag_ms: asOf === null ? null : Math.max(0, now - asOf) }
}
