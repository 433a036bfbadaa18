import type { Instant } from './instant.js'
import type { Span } from './span.js'

/**
 * Whether a logout in a gap can concern a token that is still valid.
 *
 * - `open`: it can.
 * - `closed`: the floor rejects every token that it could concern.
 * - `expired`: every token that it could concern has expired.
 */
export type GapState = 'open' | 'closed' | 'expired'

/** The floor, and the time by the clock of the database. */
interface Moment {
  floorAt: Instant | null
  now: Instant
}

/**
 * How long after its login a token can be valid, in milliseconds: a refresh token lives for at most `maxRefreshAgeMs`
 * from the login, and the last access token that it gives for at most `maxTokenAgeMs` more.
 */
export function tokenHorizonMs(lifetimes: {
  maxTokenAgeMs: number
  maxRefreshAgeMs: number
}): number {
  return lifetimes.maxRefreshAgeMs + lifetimes.maxTokenAgeMs
}

/**
 * The instant from which on a logout in a gap concerns no token. Such a logout is before the end of the gap, which is
 * exclusive, and concerns only logins that are not after it (R6).
 */
export function concernedUntil({ to }: Pick<Span, 'to'>, horizonMs: number): Instant {
  return to + horizonMs
}

/** The state of a gap. A gap that ends earlier is never `open` where a later one is not. */
export function stateOfGap(
  gap: Pick<Span, 'to'>,
  { floorAt, now }: Moment,
  horizonMs: number,
): GapState {
  if (floorAt !== null && floorAt >= gap.to) return 'closed'
  return now >= concernedUntil(gap, horizonMs) ? 'expired' : 'open'
}

/** What decides whether the known logouts are complete. */
interface Coverage extends Moment {
  asOf: Instant | null
  /** Whether nothing is left to sweep. */
  isSwept: boolean
  /** End of the gap that ends last; `null`: there is no gap. */
  lastGapTo: Instant | null
}

/** Whether no logout that could concern a valid token is known to be missing: `complete` in the API. */
export function isComplete(coverage: Coverage, horizonMs: number): boolean {
  const { asOf, isSwept, lastGapTo } = coverage
  if (asOf === null || !isSwept) return false
  return lastGapTo === null || stateOfGap({ to: lastGapTo }, coverage, horizonMs) !== 'open'
}
