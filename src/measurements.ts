import type { LogoutEvent } from './rules/entry.js'
import type { Instant } from './rules/instant.js'

/** A request to Auth0's Logs API that has ended, with or without a response. */
export interface LogRequest {
  /** `null`: there was no response. */
  status: number | null
  /** Time from the sending of the request to the end of its response, in milliseconds. */
  durationMs: number
  /** The tenant's rate limit; `null`: the response does not state it. */
  rateLimit: { limit: number; remaining: number } | null
  /** Time that the request waited for the rate limit before it was sent, in milliseconds. */
  waitedMs: number
  /**
   * The used fraction of last-logout's share of the rate limit, from 0 to 1, including this request; `null`: unknown.
   */
  budgetUsed: number | null
}

/** The log entries that a poll has just read and stored. */
export interface SyncProgress {
  /**
   * How the entries were read:
   *
   * - `catch-up`: as pages, from the checkpoint to the end of the log.
   * - `sweep`: by a search for entries from before the first start.
   * - `outage`: by a search for logouts from an outage of the worker. A catch-up also reads these entries.
   * - `reconcile`: by a search for entries that became visible late. It also finds entries that a catch-up reads.
   */
  stage: 'catch-up' | 'sweep' | 'outage' | 'reconcile'
  pages: number
  entries: number
  events: number
  /**
   * For a catch-up, the storage time up to which the log was read. For a search, which begins with the newest entries,
   * the storage time down to which the log was read. `null`: unknown.
   */
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

/**
 * A response of the API. `method` and `route` have a fixed set of values. Otherwise requests could create any number of
 * time series.
 */
interface MeasuredResponse {
  method: string
  /** The pattern of the route, not the URL, which can contain a user id. */
  route: string
  /** `null`: the caller disconnected before the response. */
  status: number | null
  durationMs: number
}

/** Why the API rejected the key of a request. */
export type AuthFailure = 'no_key' | 'unknown_key' | 'lacks_role'

/** Receives the measurements of the API. */
export interface ApiMetrics {
  onResponse(response: MeasuredResponse): void
  /** Called with 1 when a stream of the change feed begins, and with -1 when it ends. */
  onSubscriber(change: 1 | -1): void
  onFailedAuthentication(reason: AuthFailure): void
}
