/** A logout in the tenant. Its entry becomes readable at `storedAtMs`. */
export interface Logout {
  userId: string
  sessionId: string
  dateMs: number
  storedAtMs: number
}

/** A message of the tenant's process. A report covers the time since the start of the process. */
export type TenantMessage =
  | { kind: 'serving'; url: string; credentials: { clientId: string; clientSecret: string } }
  | { kind: 'logout'; logout: Logout }
  | { kind: 'report'; report: TenantReport }

/** A report of the tenant's process. */
export interface TenantReport {
  /** Number of entries that the tenant wrote. */
  written: number
  /** Number of requests that the tenant received. */
  requests: number
  /** Number of responses with status 429. */
  refused: number
}

/** The results of the load since the last report. */
export interface LoadReport {
  /** Number of responses with status 200. */
  reads: number
  /** Number of other reads: their response had another status, they failed, or too many reads were in flight. */
  failed: number
  p50Ms: number
  p99Ms: number
  /** Number of logouts that every subscriber has received. */
  logouts: number
  /** Maximum time from the storage of a logout's entry until every subscriber received the logout, or until now. */
  behindMs: number
  /** Maximum time from a logout until every subscriber received it. */
  behindLogoutMs: number
  /** Maximum age of `as_of` in a subscriber. */
  staleMs: number
}
