import { isAhead } from './freshness.js'
import type { Instant } from './instant.js'

/** When a reported logout happened: never in the future; `null` where the report lies too far ahead. */
export function settleReported(at: Instant, now: Instant): Instant | null {
  return isAhead(at, now) ? null : Math.min(at, now)
}
