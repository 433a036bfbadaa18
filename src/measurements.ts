import type { LogoutEvent } from './rules/entry.js'
import type { Instant } from './rules/instant.js'

/** A request to the Logs API that has ended, with or without a response. */
export interface LogRequest {
  /** `null`: there was no response. */
  status: number | null
  /** Time from the sending of the request to the end of its response, in milliseconds. */
  durationMs: number
  /** The tenant's rate limit; `null`: the response does not state it. */
  rateLimit: { limit: number; remaining: number } | null
  /** How long the request was delayed before it was sent, in milliseconds. */
  waitedMs: number
  /** How much of last-logout's share of the bucket is used, from 0 to 1, this request included; `null`: unknown. */
  budgetUsed: number | null
}

/** The entries that a poll has just read and stored. */
export interface SyncProgress {
  /**
   * How the entries were read. `catch-up`: as pages from the checkpoint. `sweep`: by a search for the entries from before
   * the first start. `outage`, `reconcile`: by a search for entries that a catch-up also reads.
   */
  stage: 'catch-up' | 'sweep' | 'outage' | 'reconcile'
  pages: number
  entries: number
  events: number
  /** The storage time up to which a catch-up has read, or down to which a search has read; `null`: unknown. */
  reachedAt: Instant | null
}

/** The logout events of a stored page, and the times from which their delay is calculated. */
export interface LogoutPage {
  events: LogoutEvent[]
  /** When the request for the page began, by Auth0's clock. */
  requestedAt: Instant
  /** Time from the response to the commit, in milliseconds. */
  writtenMs: number
}

/** A response of the API. The sets of `method` and `route` are fixed: no request adds a value. */
interface MeasuredResponse {
  method: string
  /** The pattern of the route, not the URL, which can contain a user id. */
  route: string
  /** `null`: the caller disconnected before the response. */
  status: number | null
  durationMs: number
}

/** Why a request was rejected for its key. */
export type AuthFailure = 'no_key' | 'unknown_key' | 'lacks_role'

/** Receives the measurements of the API. */
export interface ApiMetrics {
  onResponse(response: MeasuredResponse): void
  /** Called when a stream of the change feed has begun (`change` is 1) or ended (`change` is -1). */
  onSubscriber(change: 1 | -1): void
  onFailedAuthentication(reason: AuthFailure): void
}
