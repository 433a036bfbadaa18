import { MAX_CLOCK_AHEAD_MS } from '../rules/freshness.js'
import type { Instant } from '../rules/instant.js'

/** A freshness event of the feed, with its receipt. */
export interface Delivery {
  asOf: Instant
  /** As stated by the service. 0 means that `asOf` may be ahead of its clock. */
  lagMs: number
  /** By the wall clock of this client. */
  receivedAt: Instant
  /** Upper bound of the delay in milliseconds; `Infinity` if there is none. */
  maxDelayMs: number
}

/**
 * Creates an estimator of how long events were delayed on their way. It does not assume that the clocks of client and
 * service agree.
 *
 * `asOf + lagMs` is the service's clock when it sent the event. The difference to the client's clock at receipt is the
 * offset between the two clocks plus the delay. Each event bounds the offset. Its upper bound is that difference, since
 * no delay is negative. Its lower bound is the difference minus the upper bound of the delay. For the first event of a
 * connection, the upper bound of the delay is the time since the request, since the event was sent after the request.
 * The estimated delay is the difference minus the smallest upper bound of the offset. That bound is raised if a lower
 * bound shows that a clock has been set since.
 *
 * Errors of the estimate:
 *
 * - It is too high by the amount that the client's clock was set ahead (or the service's back) during a connection. This
 *   lasts until the next connection; then it is too high by at most the time until that connection's first event.
 * - It is too low by at most the delay of the fastest event.
 * - It is too low by up to 60 s for an event with a `lagMs` of 0, since its `asOf` may be that far ahead; and by up to
 *   another 60 s while all events had a `lagMs` of 0.
 * - It is too low by the amount that the client's clock was set back (or the service's ahead) while events were delayed.
 *
 * @returns A function that takes each event in the order of receipt and returns its estimated delay in milliseconds.
 */
export function createDelayEstimator(): (delivery: Delivery) => number {
  let offsetMs = Number.POSITIVE_INFINITY
  return ({ asOf, lagMs, receivedAt, maxDelayMs }) => {
    const differenceMs = receivedAt - (asOf + lagMs)
    const upperBoundMs = lagMs > 0 ? differenceMs : differenceMs + MAX_CLOCK_AHEAD_MS
    const lowerBoundMs = differenceMs - maxDelayMs
    offsetMs = Math.max(Math.min(offsetMs, upperBoundMs), lowerBoundMs)
    return Math.max(0, differenceMs - offsetMs)
  }
}
