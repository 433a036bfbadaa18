import type { Instant } from './instant.js'

/** Clocks differ: up to this far ahead is taken as now, in milliseconds. */
const AHEAD_MS = 60_000

/** When a reported logout happened: never in the future; `null` where it is said to be too far ahead. */
export function settleReported(at: Instant, now: Instant): Instant | null {
  return at > now + AHEAD_MS ? null : Math.min(at, now)
}
