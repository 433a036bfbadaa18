import type { Instant } from './instant.js'

/** Maximum time that another clock may be ahead of the clock in use, in milliseconds. */
export const MAX_CLOCK_AHEAD_MS = 60_000

/** Default maximum age of the data, in milliseconds. If the data is older, the revocation status is unknown. */
export const DEFAULT_MAX_STALENESS_MS = 300_000

/** Whether an instant is more than {@link MAX_CLOCK_AHEAD_MS} after `now`. */
export function isAhead(at: Instant, now: Instant): boolean {
  return at > now + MAX_CLOCK_AHEAD_MS
}

/**
 * Returns the age of the data, in milliseconds. Returns `null` if the age is unknown: the service has not read the log
 * to its end yet, or `asOf` is too far ahead of the clock.
 *
 * @param asOf The service has read all entries that Auth0 stored before this instant.
 * @param now The time by the clock of the database.
 */
export function lagOf(asOf: Instant | null, now: Instant): number | null {
  return asOf === null || isAhead(asOf, now) ? null : Math.max(0, now - asOf)
}
