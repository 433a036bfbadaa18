import { MAX_CLOCK_AHEAD_MS } from '../rules/freshness.js'
import type { Instant } from '../rules/instant.js'

/** The receipt of a freshness event, which states how recent the data of the service is. */
export interface Delivery {
  /** The service has read all log entries that Auth0 stored before this instant. */
  asOf: Instant
  /** The age of `asOf` by the service's clock, in milliseconds. If it is 0, `asOf` may be ahead of that clock. */
  lagMs: number
  /** When the client received the event, by the client's wall clock. */
  receivedAt: Instant
  /** Upper bound of the delay between sending and receipt, in milliseconds; `Infinity` if no bound is known. */
  maxDelayMs: number
}

/**
 * Creates an estimator of the delay of events between service and client. The clocks of service and client may differ.
 *
 * 1. The service's clock showed `asOf + lagMs` when the service sent the event. The client's clock showed `receivedAt`
 *    when the client received the event. The difference of these times is the offset of the clocks plus the delay.
 * 2. No delay is negative, so the difference is an upper bound of the offset. The estimator keeps the smallest upper
 *    bound of all events. The estimated delay is the difference minus this bound.
 * 3. The difference minus `maxDelayMs` is a lower bound of the offset. If this lower bound exceeds the smallest upper
 *    bound, a clock was set, and the lower bound replaces the smallest upper bound.
 *
 * Errors of the estimate:
 *
 * - The estimate is too low by at most the delay of the fastest event. Until the second event, this is the delay of the
 *   first event.
 * - If `lagMs` is 0, `asOf` may be up to 60 s ahead, so the estimate is too low by up to 60 s. If `lagMs` was 0 in all
 *   events so far, the estimate is too low by up to another 60 s.
 * - If the client's clock is set ahead (or the service's clock back), the estimate is too high by that amount. The next
 *   reconnect limits this error to the time between the request and the first event, because of point 3.
 * - If the client's clock is set back (or the service's clock ahead) while events are delayed, the estimate is too low
 *   by that amount.
 *
 * @returns A function that takes each event in the order of receipt, and returns its estimated delay in milliseconds.
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
