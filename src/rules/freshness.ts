import type { Instant } from './instant.js'

/** Clocks differ: an instant up to this far ahead is still believed, in milliseconds. */
export const MAX_CLOCK_AHEAD_MS = 60_000

/** Whether an instant lies further ahead of `now` than clocks may differ. */
export function isAhead(at: Instant, now: Instant): boolean {
  return at > now + MAX_CLOCK_AHEAD_MS
}

/**
 * The age of `as_of`, in milliseconds; `null` where it is not known: before the first catch-up has
 * ended, and where `as_of` lies ahead of the clock.
 *
 * @param now By the clock of the database.
 */
export function lagOf(asOf: Instant | null, now: Instant): number | null {
  return asOf === null || isAhead(asOf, now) ? null : Math.max(0, now - asOf)
}
