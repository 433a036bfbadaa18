import type { Instant } from './instant.js'

/** Maximum accepted difference between two clocks, in milliseconds. */
export const MAX_CLOCK_AHEAD_MS = 60_000

/** Default maximum age of the data, in milliseconds. If the data is older, the revocation status is unknown. */
export const DEFAULT_MAX_STALENESS_MS = 300_000

/** Whether an instant is further ahead of `now` than two clocks may differ. */
export function isAhead(at: Instant, now: Instant): boolean {
  return at > now + MAX_CLOCK_AHEAD_MS
}

/**
 * The age of `as_of` in milliseconds. `null` means that the age is unknown: before the first catch-up has ended, and
 * while `as_of` is ahead of the clock.
 *
 * @param now The time by the clock of the database.
 */
export function lagOf(asOf: Instant | null, now: Instant): number | null {
  return asOf === null || isAhead(asOf, now) ? null : Math.max(0, now - asOf)
}
