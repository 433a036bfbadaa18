import type { FeedSubscriber } from './feed-subscriber.js'
import { settleWithin } from './settle-within.js'

/**
 * Creates a function that starts the subscription at the first check, and makes checks wait for the first load.
 *
 * Only checks in the first `timeoutMs` milliseconds wait, so that an outage of the service does not delay every check.
 *
 * @returns A function to be called by each check. It returns a promise for which the check must wait, or `undefined`.
 *   The promise never rejects.
 */
export function createFirstLoad(
  feed: FeedSubscriber,
  timeoutMs: number,
): () => Promise<void> | undefined {
  let firstLoad: Promise<void> | undefined
  let isWaitOver = false
  return () => {
    if (isWaitOver) return undefined
    // `feed.ready()` starts the subscription.
    firstLoad ??= settleWithin(timeoutMs, feed.ready, () => new Error('timeout'))
      .catch(() => {})
      .finally(() => {
        isWaitOver = true
      })
    return firstLoad
  }
}
