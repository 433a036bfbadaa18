/** A logout that the tenant has just logged; it can be read from `storedAtMs`. */
export interface Logout {
  userId: string
  sessionId: string
  dateMs: number
  storedAtMs: number
}

/** What the tenant's process says; its report covers everything so far. */
export type TenantMessage =
  | { kind: 'serving'; url: string; credentials: { clientId: string; clientSecret: string } }
  | { kind: 'logout'; logout: Logout }
  | { kind: 'report'; report: TenantReport }

/** What the tenant has written and was asked. */
export interface TenantReport {
  written: number
  requests: number
  /** Answered with 429. */
  refused: number
}

/** What the readers have seen since their last report. */
export interface LoadReport {
  /** Answered as they should be. */
  reads: number
  /** Answered otherwise, or not sent because too many were on their way. */
  failed: number
  p50Ms: number
  p99Ms: number
  /** Logouts that the feed clients came to know. */
  logouts: number
  /** The longest from a logout's storage until every client knew it; also of those not known yet. */
  behindMs: number
  /** The longest from a logout itself. */
  behindLogoutMs: number
  /** The oldest `as_of` that a client had. */
  staleMs: number
}
