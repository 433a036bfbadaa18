import type { StatedFreshness } from '../rules/last-logout-response.js'
import { type Clocks, type CoarseClocks, startCoarseClocks, startStopwatch } from './clocks.js'
import { createDelayEstimator } from './delivery-delay.js'
import { type Freshness, withAge } from './freshness.js'

/** The freshness of the data of the feed. */
export interface FeedFreshness {
  /** `null` before the first event. */
  current(): Freshness | null
  /**
   * Updates the freshness with an event that was received now.
   *
   * @param maxDelayMs Upper bound of the time between the sending of the event and its receipt, in milliseconds;
   *   `Infinity` if no bound is known.
   * @returns The estimated delay in milliseconds if the data is stale only because of the delay, else 0.
   */
  update(stated: StatedFreshness, maxDelayMs: number): number
  stop(): void
}

/**
 * Tracks the freshness of the feed. The age of the data is the age that the last event states, plus the delay of this
 * event, plus the time since its receipt.
 *
 * The delay of the first event cannot be estimated. If the process was suspended before it read this event, the data can
 * be as old as the request. So if data of this age is stale, the client must connect again.
 */
export function createFeedFreshness(clocks: Clocks, maxStalenessMs: number): FeedFreshness {
  let coarseClocks: CoarseClocks | undefined
  const estimateDelay = createDelayEstimator()
  let freshness: Freshness | null = null
  /** Whether the estimator knows an event whose delay is so short that the data was not stale. */
  let isCalibrated = false

  function delayOf(stated: StatedFreshness, maxDelayMs: number): number {
    const { asOf, lagMs } = stated
    if (asOf === null || lagMs === Number.POSITIVE_INFINITY) return 0
    const delayMs = estimateDelay({ asOf, lagMs, receivedAt: clocks.wall(), maxDelayMs })
    if (isCalibrated || maxDelayMs === Number.POSITIVE_INFINITY) return delayMs
    isCalibrated = lagMs + maxDelayMs <= maxStalenessMs
    return isCalibrated ? delayMs : maxDelayMs
  }

  return {
    current: () => freshness,
    update(stated, maxDelayMs) {
      const { lagMs } = stated
      const delayMs = delayOf(stated, maxDelayMs)
      coarseClocks ??= startCoarseClocks(clocks)
      const sinceReceiptMs = startStopwatch(coarseClocks)
      freshness = withAge(stated, () => delayMs + sinceReceiptMs())
      return lagMs <= maxStalenessMs && lagMs + delayMs > maxStalenessMs ? delayMs : 0
    },
    stop: () => coarseClocks?.stop(),
  }
}
