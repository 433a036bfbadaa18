import { type Clocks, startStopwatch, startTickingClocks } from './clocks.js'
import { createDelayEstimator } from './delivery-delay.js'
import { type Freshness, type StatedFreshness, withAge } from './freshness.js'

/** How fresh the data is that the feed delivered. */
export interface FeedFreshness {
  /** `null` before the first event. */
  current(): Freshness | null
  /**
   * Takes an event that was received now. `maxDelayMs`: an upper bound of its delay; for the first of a connection the
   * time since the request, since it was sent after that; else `Infinity`.
   *
   * @returns the estimated delay in milliseconds where the data is stale for that reason alone, else 0.
   */
  take(stated: StatedFreshness, maxDelayMs: number): number
  stop(): void
}

/** The age of the data is what the service stated, the delay of the event's delivery, and the time since its receipt. */
export function createFeedFreshness(clocks: Clocks, maxStalenessMs: number): FeedFreshness {
  const ticking = startTickingClocks(clocks)
  const estimateDelay = createDelayEstimator()
  let freshness: Freshness | null = null
  return {
    current: () => freshness,
    take(stated, maxDelayMs) {
      const { asOf, lagMs } = stated
      const receivedAt = clocks.wall()
      const isKnown = asOf !== null && lagMs < Number.POSITIVE_INFINITY
      const delayMs = isKnown ? estimateDelay({ asOf, lagMs, receivedAt, maxDelayMs }) : 0
      const ageMs = lagMs + delayMs
      freshness = withAge({ ...stated, lagMs: ageMs }, startStopwatch(ticking))
      return lagMs <= maxStalenessMs && ageMs > maxStalenessMs ? delayMs : 0
    },
    stop: ticking.stop,
  }
}
