import fastq from 'fastq'
import { abortedError } from '../errors.js'
import type { ChangesPage, ChangesQuery } from '../rules/change-feed.js'

/** Limits of the reads in a {@link LoadQueue}. */
export interface LoadLimits {
  /** Maximum number of concurrent queries. The other connections of the pool remain free for other requests. */
  maxConcurrentLoads: number
  /** The queue is overloaded if a read waits longer than this, in milliseconds. */
  maxLoadWaitMs: number
}

/**
 * The reads of pages that subscribers do not share. After a failover or a restart, all subscribers load at once. Without
 * a limit, their queries would occupy all connections to the database.
 */
export interface LoadQueue {
  /**
   * Reads a page, after all earlier reads have begun.
   *
   * @throws `ABORTED` if `signal` aborts before the read begins, or if the queue is closed.
   */
  read(query: ChangesQuery, signal: AbortSignal): Promise<ChangesPage | null>
  /** Whether reads wait so long that no other subscriber should begin to load. */
  isOverloaded(): boolean
  /** Rejects all reads that have not begun. */
  close(): void
}

interface Read {
  query: ChangesQuery
  signal: AbortSignal
  /** In milliseconds of a monotonic clock. */
  queuedAt: number
}

/** Creates an empty queue. */
export function createLoadQueue(
  readChanges: (query: ChangesQuery) => Promise<ChangesPage | null>,
  { maxConcurrentLoads, maxLoadWaitMs }: LoadLimits,
): LoadQueue {
  let isOpen = true
  let lastWaitMs = 0
  const queue = fastq.promise(async ({ query, signal, queuedAt }: Read) => {
    if (!isOpen || signal.aborted) throw abortedError()
    lastWaitMs = performance.now() - queuedAt
    return readChanges(query)
  }, maxConcurrentLoads)
  return {
    read: (query, signal) => queue.push({ query, signal, queuedAt: performance.now() }),
    isOverloaded: () => queue.length() > 0 && lastWaitMs > maxLoadWaitMs,
    close() {
      isOpen = false
    },
  }
}
