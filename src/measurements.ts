import type { LogoutEvent } from './rules/entry.js'
import type { Instant } from './rules/instant.js'

/** A request to the tenant log, as it ended. */
export interface LogRequest {
  /** `null`: there was no response. */
  status: number | null
  /** From sending the request to the end of its response, in milliseconds. */
  durationMs: number
  /** The tenant's rate limit; `null` where the response does not state it. */
  rateLimit: { limit: number; remaining: number } | null
  /** How long the request was delayed before it was sent, in milliseconds. */
  waitedMs: number
  /** The part of our share of the bucket that is used with this request, at most 1; `null`: unknown. */
  budgetUsed: number | null
}

/** What was just stored. */
export interface SyncProgress {
  /**
   * `catch-up`: pages from the checkpoint. `sweep`: older entries, at a first start. `outage` and
   * `reconcile`: entries that a catch-up reads as well.
   */
  stage: 'catch-up' | 'sweep' | 'outage' | 'reconcile'
  pages: number
  entries: number
  events: number
  /** The storage time reached: a catch-up has read up to it, a search down to it. */
  reachedAt: Instant | null
}

/** When the logout events of a page could be known, and when they were stored. */
export interface LogoutPage {
  events: LogoutEvent[]
  /** When the request for the page began, by Auth0's clock. */
  requestedAt: Instant
  /** From the response to the commit, in milliseconds. */
  writtenMs: number
}

/** A response of the API. Callers cannot cause new values of `method` and `route`. */
interface MeasuredResponse {
  method: string
  /** The pattern of the route. A URL contains a user id. */
  route: string
  /** `null`: the caller disconnected before the response. */
  status: number | null
  durationMs: number
}

/** Receives the measurements of the API. */
export interface ApiMetrics {
  onResponse(response: MeasuredResponse): void
  /** A stream of the change feed has begun (1) or ended (-1). */
  onSubscriber(change: 1 | -1): void
  onFailedAuthentication(reason: 'no_key' | 'unknown_key' | 'lacks_role'): void
}
