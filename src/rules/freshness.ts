import type { Instant } from './instant.js'

/** Maximum accepted difference between two clocks, in milliseconds. */
export const MAX_CLOCK_AHEAD_MS = 60_000

/** Default maximum age of the data, in milliseconds. If the data is older, the revocation status is unknown. */
export const DEFAULT_MAX_STALENESS_MS = 300_000

/** Whether an instant is more than {@link MAX_CLOCK_AHEAD_MS} after `now`. */
export function isAhead(at: Instant, now: Instant): boolean {
  return at > now + MAX_CLOCK_AHEAD_MS
}

/**
 * Returns the age of `as_of` in milliseconds. `null`: the age is unknown, because the first catch-up has not ended, or
 * because `as_of` is too far ahead of the clock.
 *
 * @param now The time by the clock of the database.
 */
export function lagOf(asOf: Instant | null, now: Instant): number | null {
  return asOf === null || isAhead(asOf, now) ? null : Math.max(0, now - asOf)
}
