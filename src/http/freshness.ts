import type { Instant } from '../rules/instant.js'

/** An instant as the API writes it: RFC 3339 with milliseconds, UTC. */
export function toDateTime(at: Instant): string
export function toDateTime(at: Instant | null): string | null
export function toDateTime(at: Instant | null): string | null {
  return at === null ? null : new Date(at).toISOString()
}

/** `as_of` and `lag_ms`: how old what is known is. Clocks that disagree do not make it negative. */
export function toFreshness(asOf: Instant | null, now: Instant) {
  return { as_of: toDateTime(asOf), lag_ms: asOf === null ? null : Math.max(0, now - asOf) }
}
