import { MAX_CLOCK_AHEAD_MS } from '../rules/freshness.js'
import type { Instant } from '../rules/instant.js'

/** A freshness event of the feed, as it was received. */
export interface Delivery {
  asOf: Instant
  /** As the service states it; 0 where `asOf` may be ahead of its clock. */
  lagMs: number
  /** By this client's wall clock. */
  receivedAt: Instant
  /** An upper bound of the delay in milliseconds, where there is one; else `Infinity`. */
  maxDelayMs: number
}

/**
 * Estimates how long events were held back on their way, without trusting that the clocks of client and service agree.
 *
 * `asOf + lagMs` is the service's clock when it sent the event. The difference to the client's clock at receipt is the
 * offset between the two clocks plus the delay. Each event bounds the offset: it is at most that difference, since no
 * delay is negative, and at least the difference less the longest that the delay can be. For the first event of a
 * connection that is the time since the request, since it was sent after that. The delay is the difference less the
 * offset's smallest upper bound, which is raised where the lower bound shows that a clock has been set since.
 *
 * Errors. The estimate is too high, until the next connection, by what the client's clock was set ahead (or the service's
 * back) during a connection, and then by at most the time that the first event of the next connection took.
 * It is too low by at most the delay of the quickest event; by up to 60 s for an event with a `lagMs` of 0, since its
 * `asOf` may be that far ahead, and by as much again while there has been no other; and by what the client's clock was
 * set back (or the service's ahead) while events were held back.
 *
 * @returns a function that takes each event in the order of receipt and returns its delay in milliseconds.
 */
export function createDelayEstimator(): (delivery: Delivery) => number {
  let offsetMs = Number.POSITIVE_INFINITY
  return ({ asOf, lagMs, receivedAt, maxDelayMs }) => {
    const differenceMs = receivedAt - (asOf + lagMs)
    const atMostMs = lagMs > 0 ? differenceMs : differenceMs + MAX_CLOCK_AHEAD_MS
    const atLeastMs = differenceMs - maxDelayMs
    offsetMs = Math.max(Math.min(offsetMs, atMostMs), atLeastMs)
    return Math.max(0, differenceMs - offsetMs)
  }
}
