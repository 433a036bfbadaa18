import { isAhead } from './freshness.js'
import type { Instant } from './instant.js'

/** A logout that an application reports. It has no entry in the tenant log. */
export interface ReportedLogout {
  userId: string
  /** `null`: all sessions of the user. */
  sessionId: string | null
  /** `null`: now, by the clock of the database. */
  at: Instant | null
  type: string
}

/** Limits the instant of a reported logout to `now`. Returns `null` if the instant is too far in the future. */
export function limitReportedInstant(at: Instant, now: Instant): Instant | null {
  return isAhead(at, now) ? null : Math.min(at, now)
}
