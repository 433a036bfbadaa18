/** Limits of a review in batches. Times in milliseconds. */
export interface BatchLimits {
  maxBatchSize: number
  /** A batch ends early after this time, so that other work is not delayed. */
  maxBatchMs: number
  /** After a batch that ended connections, the next batch begins after a random pause between these two bounds. */
  minPauseMs: number
  maxPauseMs: number
}

/**
 * The default limits. They end about 5,000 connections per second. Their clients therefore do not log in and connect again
 * at the same time.
 */
export const BATCH_LIMITS: BatchLimits = {
  maxBatchSize: 250,
  maxBatchMs: 4,
  minPauseMs: 25,
  maxPauseMs: 75,
}

/** Items that are due for a review. An item that is added twice before its review is reviewed once. */
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
    let reviewed = 0
    let ended = 0
    for (const item of pending) {
      pending.delete(item)
      if (review(item)) ended++
      reviewed++
      if (reviewed >= maxBatchSize || performance.now() - startedAt >= maxBatchMs) break
    }
    const pauseMs = ended === 0 ? 0 : minPauseMs + Math.random() * (maxPauseMs - minPauseMs)
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
