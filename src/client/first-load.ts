import type { FeedSubscriber } from './feed-subscriber.js'
import { settleWithin } from './settle-within.js'

/**
 * Creates a function that starts a subscription at its first call, and waits for the first load. Only calls in the
 * first `timeoutMs` wait, so that an outage of the service does not delay every check.
 *
 * @returns A function that returns a promise that never rejects, or `undefined` if there is nothing to wait for.
 */
export function createFirstLoad(
  feed: FeedSubscriber,
  timeoutMs: number,
): () => Promise<void> | undefined {
  let waiting: Promise<void> | undefined
  let isOver = false
  return () => {
    if (isOver) return undefined
    waiting ??= settleWithin(timeoutMs, feed.ready, () => new Error('timeout'))
      .catch(() => {})
      .finally(() => {
        isOver = true
      })
    return waiting
  }
}
