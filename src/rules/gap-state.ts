import type { Instant } from './instant.js'
import type { Span } from './span.js'

/**
 * The state of a gap: whether a logout in the gap can concern a token that is still valid. A gap is a span of the log
 * that Auth0 deleted before last-logout read it.
 *
 * - `open`: such a logout is possible.
 * - `closed`: the floor, an instant for all users, revokes every token that a logout in the gap could concern.
 * - `expired`: every token that a logout in the gap could concern has expired.
 */
export type GapState = 'open' | 'closed' | 'expired'

/** The facts that decide about the state of a gap. */
interface GapContext {
  floorAt: Instant | null
  /** The time by the clock of the database. */
  now: Instant
}

/**
 * Returns how long after its login a token can be valid, in milliseconds. A refresh token is valid for at most
 * `maxRefreshAgeMs` after the login. The last access token from this refresh token is valid for at most another
 * `maxTokenAgeMs`.
 */
export function tokenHorizonMs(lifetimes: {
  maxTokenAgeMs: number
  maxRefreshAgeMs: number
}): number {
  return lifetimes.maxRefreshAgeMs + lifetimes.maxTokenAgeMs
}

/**
 * Returns the instant until which a logout in the gap can concern a valid token. Such a token comes from a login before
 * the end of the gap.
 *
 * @param horizonMs The result of {@link tokenHorizonMs}.
 */
export function concernedUntil({ to }: Pick<Span, 'to'>, horizonMs: number): Instant {
  return to + horizonMs
}

/** Returns the state of a gap. If a gap is not `open`, no gap with an earlier end is `open`. */
export function stateOfGap(
  gap: Pick<Span, 'to'>,
  { floorAt, now }: GapContext,
  horizonMs: number,
): GapState {
  if (floorAt !== null && floorAt >= gap.to) return 'closed'
  return now >= concernedUntil(gap, horizonMs) ? 'expired' : 'open'
}

/** The facts that decide whether the known logouts are complete. */
interface Coverage extends GapContext {
  asOf: Instant | null
  /** Whether the search for logouts from before the first start is complete. */
  isSwept: boolean
  /** End of the gap that ends last; `null`: there is no gap. */
  lastGapTo: Instant | null
}

/** Whether every logout that can concern a valid token is known: `complete` in the API. */
export function isComplete(coverage: Coverage, horizonMs: number): boolean {
  const { asOf, isSwept, lastGapTo } = coverage
  if (asOf === null || !isSwept) return false
  return lastGapTo === null || stateOfGap({ to: lastGapTo }, coverage, horizonMs) !== 'open'
}
