import { isAhead } from './freshness.js'
import type { Instant } from './instant.js'

/** Limits the instant of a reported logout to `now`. Returns `null` if the instant is too far in the future. */
export function settleReported(at: Instant, now: Instant): Instant | null {
  return isAhead(at, now) ? null : Math.min(at, now)
}
