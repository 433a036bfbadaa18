/** Limits of the batches of a review queue. Times in milliseconds. */
export interface BatchLimits {
  maxBatchSize: number
  /** Maximum time of a batch, so that other work is not delayed. */
  maxBatchMs: number
  /** Bounds of the random pause after a batch that has ended connections. */
  minPauseMs: number
  maxPauseMs: number
}

/**
 * The default limits. At most about 5,000 connections per second end, so that not all of their clients log in and
 * connect again at the same time.
 */
export const BATCH_LIMITS: BatchLimits = {
  maxBatchSize: 250,
  maxBatchMs: 4,
  minPauseMs: 25,
  maxPauseMs: 75,
}

/** The watched tokens that must be reviewed. A token that is added twice before its review is reviewed once. */
export interface ReviewQueue<Item> {
  add(items: Iterable<Item>): void
  close(): void
}

/**
 * Creates an empty queue.
 *
 * @param review Returns whether the review ended the connection of the item.
 */
export function createReviewQueue<Item>(
  review: (item: Item) => boolean,
  { maxBatchSize, maxBatchMs, minPauseMs, maxPauseMs }: BatchLimits,
): ReviewQueue<Item> {
  const pending = new Set<Item>()
  let timer: ReturnType<typeof setTimeout> | undefined

  function reviewBatch(): void {
    const startedAt = performance.now()
    let reviewedCount = 0
    let endedCount = 0
    for (const item of pending) {
      pending.delete(item)
      if (review(item)) endedCount++
      reviewedCount++
      if (reviewedCount >= maxBatchSize || performance.now() - startedAt >= maxBatchMs) break
    }
    const pauseMs = endedCount === 0 ? 0 : minPauseMs + Math.random() * (maxPauseMs - minPauseMs)
    timer = pending.size === 0 ? undefined : setTimeout(reviewBatch, pauseMs)
  }

  return {
    add(items) {
      for (const item of items) pending.add(item)
      if (pending.size > 0) timer ??= setTimeout(reviewBatch, 0)
    },
    close() {
      pending.clear()
      clearTimeout(timer)
      timer = undefined
    },
  }
}
