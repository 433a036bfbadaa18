import type { FeedSubscriber } from './feed-subscriber.js'
import { settleWithin } from './settle-within.js'

/**
 * Creates a function that each check calls. Its first call starts the subscription. Calls in the first `timeoutMs`
 * milliseconds wait for the first load; later calls do not wait, so that an outage of the service does not delay every
 * check.
 *
 * @returns The function. It returns `undefined` if the check need not wait, else a promise that never rejects.
 */
export function createFirstLoad(
  feed: FeedSubscriber,
  timeoutMs: number,
): () => Promise<void> | undefined {
  let firstLoad: Promise<void> | undefined
  let hasEnded = false
  return () => {
    if (hasEnded) return undefined
    firstLoad ??= settleWithin(timeoutMs, feed.ready, () => new Error('timeout'))
      .catch(() => {})
      .finally(() => {
        hasEnded = true
      })
    return firstLoad
  }
}
