/** A logout in the tenant. Its entry becomes readable at `storedAtMs`. */
export interface Logout {
  userId: string
  sessionId: string
  dateMs: number
  storedAtMs: number
}

/** A message that the tenant's process sends. */
export type TenantMessage =
  | { kind: 'serving'; url: string; credentials: { clientId: string; clientSecret: string } }
  | { kind: 'logout'; logout: Logout }
  | { kind: 'report'; report: TenantReport }

/** What the tenant's process has counted since its start. */
export interface TenantReport {
  /** Number of entries that the tenant wrote. */
  writtenEntries: number
  /** Number of requests that the tenant received. */
  requests: number
  /** Number of responses with status 429. */
  rateLimited: number
}

/** What the load has measured since its last report. */
export interface LoadReport {
  /** Number of responses with status 200. */
  successfulReads: number
  /** Number of reads without such a response, and of reads that were not sent because too many were in flight. */
  failedReads: number
  p50Ms: number
  p99Ms: number
  /** Number of logouts that every subscriber has received. */
  receivedLogouts: number
  /**
   * Maximum time from the storage of a logout's entry until every subscriber received the logout. If a subscriber has not
   * received the logout, the time until the report counts.
   */
  maxDelaySinceStorageMs: number
  /** Maximum time from a logout until every subscriber received the logout. */
  maxDelaySinceLogoutMs: number
  /** Maximum age of a subscriber's `as_of`. */
  maxAgeMs: number
}
