import { isAhead } from './freshness.js'
import type { Instant } from './instant.js'

/** When a reported logout counts: not in the future. `null`: the report is too far ahead. */
export function settleReported(at: Instant, now: Instant): Instant | null {
  return isAhead(at, now) ? null : Math.min(at, now)
}
