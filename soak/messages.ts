/** A logout of the tenant, which becomes readable at `storedAtMs`. */
export interface Logout {
  userId: string
  sessionId: string
  dateMs: number
  storedAtMs: number
}

/** A message of the tenant's process. Its report covers the whole run so far. */
export type TenantMessage =
  | { kind: 'serving'; url: string; credentials: { clientId: string; clientSecret: string } }
  | { kind: 'logout'; logout: Logout }
  | { kind: 'report'; report: TenantReport }

/** The entries written by the tenant, and the requests to it. */
export interface TenantReport {
  written: number
  requests: number
  /** Responses with 429. */
  refused: number
}

/** The results of the load since the last report. */
export interface LoadReport {
  /** Responses with 200. */
  reads: number
  /** Other results, and reads that were not sent because too many were in flight. */
  failed: number
  p50Ms: number
  p99Ms: number
  /** Logouts that every subscriber has received. */
  logouts: number
  /** Maximum time from the storage of a logout until every subscriber received it, or until now. */
  behindMs: number
  /** Maximum time from a logout itself until every subscriber received it. */
  behindLogoutMs: number
  /** Maximum age of `as_of` in a subscriber. */
  staleMs: number
}
