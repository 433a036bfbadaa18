import { isAhead } from './freshness.js'
import type { Instant } from './instant.js'

/** A logout reported by an application. No entry of the tenant log describes it. */
export interface ReportedLogout {
  userId: string
  /** `null`: all sessions of the user. */
  sessionId: string | null
  /** `null`: now, by the clock of the database. */
  at: Instant | null
  type: string
}

/** When a reported logout counts: not in the future. `null`: the report is too far ahead. */
export function settleReported(at: Instant, now: Instant): Instant | null {
  return isAhead(at, now) ? null : Math.min(at, now)
}
