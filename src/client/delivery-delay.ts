import { MAX_CLOCK_AHEAD_MS } from '../rules/freshness.js'
import type { Instant } from '../rules/instant.js'

/** A freshness event of the feed, and when it was received. */
export interface Delivery {
  asOf: Instant
  /** As stated by the service. If it is 0, `asOf` may be ahead of the service's clock. */
  lagMs: number
  /** By the wall clock of this client. */
  receivedAt: Instant
  /** Upper bound of the delay in milliseconds; `Infinity` if no bound is known. */
  maxDelayMs: number
}

/**
 * Creates an estimator of how long events were delayed between service and client. It does not assume that the clocks
 * of client and service agree.
 *
 * `asOf + lagMs` is the time of the service's clock when it sent the event. The time of the client's clock at receipt
 * minus that time is the difference. The difference is the offset between the two clocks plus the delay. Each event
 * bounds the offset: the upper bound is the difference, because no delay is negative. The lower bound is the difference
 * minus the upper bound of the delay. For the first event of a connection, the upper bound of the delay is the time
 * since the request, because the event was sent after the request. The estimated delay is the difference minus the
 * smallest upper bound of the offset. If an event has a lower bound above this smallest upper bound, a clock was set.
 * The lower bound then replaces the smallest upper bound.
 *
 * Errors of the estimate:
 *
 * - If the client's clock is set ahead (or the service's clock back) during a connection, the estimate is too high by
 *   that amount. From the next connection on, it is too high by at most the time between the request and the first event
 *   of that connection.
 * - The estimate is too low by at most the delay of the fastest event.
 * - For an event with a `lagMs` of 0, the estimate is too low by up to 60 s, because `asOf` may be that far ahead. If all
 *   events so far had a `lagMs` of 0, it is too low by up to another 60 s.
 * - If the client's clock is set back (or the service's clock ahead) while events are delayed, the estimate is too low by
 *   that amount.
 *
 * @returns A function that takes each event in the order of receipt and returns its estimated delay in milliseconds.
 */
export function createDelayEstimator(): (delivery: Delivery) => number {
  let maxOffsetMs = Number.POSITIVE_INFINITY
  return ({ asOf, lagMs, receivedAt, maxDelayMs }) => {
    const differenceMs = receivedAt - (asOf + lagMs)
    const upperBoundMs = lagMs > 0 ? differenceMs : differenceMs + MAX_CLOCK_AHEAD_MS
    const lowerBoundMs = differenceMs - maxDelayMs
    maxOffsetMs = Math.max(Math.min(maxOffsetMs, upperBoundMs), lowerBoundMs)
    return Math.max(0, differenceMs - maxOffsetMs)
  }
}
