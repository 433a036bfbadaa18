/** A logout in the tenant's log. All times are in milliseconds since the epoch. */
export interface Logout {
  userId: string
  sessionId: string
  /** When the user logged out. */
  dateMs: number
  /** When the entry becomes visible in the log. */
  storedAtMs: number
}

/** A message from the process that simulates the tenant. */
export type TenantMessage =
  | { kind: 'serving'; url: string; credentials: { clientId: string; clientSecret: string } }
  | { kind: 'logout'; logout: Logout }
  | { kind: 'report'; report: TenantReport }

/** Counts of the tenant since its start. */
export interface TenantReport {
  /** Number of entries that the tenant wrote. */
  writtenEntries: number
  /** Number of requests that the tenant received. */
  requests: number
  /** Number of responses with status 429. */
  rateLimited: number
}

/** Measurements of the load since its last report. */
export interface LoadReport {
  /** Number of responses with status 200. */
  successfulReads: number
  /** Number of reads that failed, or that were not sent because too many reads were in flight. */
  failedReads: number
  /** Percentiles of the latency of successful reads. */
  p50Ms: number
  p99Ms: number
  /** Number of logouts that every subscriber has received. */
  receivedLogouts: number
  /**
   * Maximum time from the storage of a logout until every subscriber had received the logout. If a subscriber has not
   * received a logout, its time until the report counts.
   */
  maxDelaySinceStorageMs: number
  /** Maximum age of `as_of` in a subscriber: the time since the instant up to which the log was read. */
  maxAgeMs: number
}
