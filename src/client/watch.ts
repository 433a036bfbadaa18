import { readNumericDate } from '../rules/instant.js'
import { readToken } from '../rules/token.js'
import type { ReceivedChange } from './received-change.js'
import { BATCH_LIMITS, type BatchLimits, createReviewQueue } from './review-queue.js'
import { createWatchIndex, type WatchIndex } from './watch-index.js'
import {
  createWatchReview,
  type Watch,
  type WatchContext,
  type WatchOptions,
} from './watch-review.js'

/** Limits that are not options of the client. Times in milliseconds. */
export interface WatchLimits extends BatchLimits {
  /** Interval of the reviews that no change causes, for example those of expired tokens. */
  reviewIntervalMs: number
  /** Minimum time between two requests for the same token. */
  retryIntervalMs: number
}

const WATCH_LIMITS: WatchLimits = {
  ...BATCH_LIMITS,
  reviewIntervalMs: 1_000,
  retryIntervalMs: 5_000,
}

const DEFAULT_MAX_UNKNOWN_MS = 60_000

/** Watches the tokens of open connections, and ends a connection when its token is revoked or expires. */
export interface Watcher {
  /** Begins a watch. Returns a function that ends the watch. */
  watch(claims: object, options: WatchOptions): () => void
  /** Reviews the tokens that a change can revoke. The cache must already contain the change. */
  applyChange(change: ReceivedChange): void
  /** Ends all watches. Does not call `onRevoked`. */
  close(): void
}

/**
 * Creates a watcher.
 *
 * - After a change of a user or a session, the watcher reviews the tokens of this user or session at once.
 * - The floor, a change of a forgotten person (its row contains hashes instead of ids) and a new policy can concern
 *   every token. The watcher then reviews all tokens in batches.
 * - At an interval, the watcher reviews expired tokens, tokens that are not accepted yet under the current policy, and
 *   tokens whose revocation status has been unknown for too long.
 */
export function createWatcher(context: WatchContext, limits: Partial<WatchLimits> = {}): Watcher {
  const { reviewIntervalMs, retryIntervalMs, ...batchLimits } = { ...WATCH_LIMITS, ...limits }
  const index = createWatchIndex<Watch>()
  const review = createWatchReview(context, retryIntervalMs, {
    isWatched: index.has,
    onEnd: (watch) => watch.stop(),
  })
  const queue = createReviewQueue(review.run, batchLimits)
  let timer: ReturnType<typeof setInterval> | undefined
  let isClosed = false

  function reviewDue(): void {
    review.updateFeed()
    queue.add(index.expiredBy(Date.now()))
    queue.add([...index.all()].filter(review.isDue))
  }

  function add(watch: Watch): void {
    index.add(watch)
    // The review runs later, because the caller has not received the function that ends the watch yet. A watch of a
    // closed client ends without an error, because an error could end an app that is shutting down.
    queueMicrotask(() => (isClosed ? review.endStale(watch) : review.run(watch)))
    if (isClosed || timer !== undefined) return
    review.updateFeed()
    timer = startInterval(reviewDue, reviewIntervalMs)
  }

  function remove(watch: Watch): void {
    index.delete(watch)
    if (!index.isEmpty()) return
    clearInterval(timer)
    timer = undefined
  }

  return {
    watch(claims, options) {
      assertWatchable(claims, options)
      const watch = createWatch(context, claims, options, remove)
      if (options.signal?.aborted !== true) {
        context.feed.start()
        add(watch)
      }
      return watch.stop
    },
    applyChange(change) {
      // Millions of changes of a load can arrive before the first watch.
      if (index.isEmpty()) return
      const watches = findConcerned(change, index)
      // A load can contain many changes that concern all watches. The queue reviews each watch only once.
      if (watches === index.all() || watches.size > batchLimits.maxBatchSize) queue.add(watches)
      else for (const watch of watches) review.run(watch)
    },
    close() {
      isClosed = true
      queue.close()
      for (const watch of index.all()) watch.stop()
    },
  }
}

/** Returns the watches that a change can end. */
function findConcerned(change: ReceivedChange, index: WatchIndex<Watch>): ReadonlySet<Watch> {
  if (change.kind === 'user') return index.ofUser(change.userId)
  return change.kind === 'session' ? index.ofSession(change.sessionId) : index.all()
}

function assertWatchable(claims: unknown, options: Partial<WatchOptions> | undefined): void {
  if (typeof claims !== 'object' || claims === null) {
    throw new TypeError('client.watch: claims must be the verified claims of a token')
  }
  if (typeof options?.onRevoked !== 'function') {
    throw new TypeError('client.watch: onRevoked must be a function that ends the connection')
  }
  const { maxUnknownMs = DEFAULT_MAX_UNKNOWN_MS } = options
  if (!(maxUnknownMs >= 0)) {
    throw new TypeError('client.watch: maxUnknownMs must be a number of milliseconds, 0 or more')
  }
}

/** Creates a watch. `stop` calls `remove`. */
function createWatch(
  { names }: WatchContext,
  claims: object,
  { signal, onRevoked, maxUnknownMs = DEFAULT_MAX_UNKNOWN_MS }: WatchOptions,
  remove: (watch: Watch) => void,
): Watch {
  const { subject, sessionId } = readToken(claims as Record<string, unknown>, names)
  const watch: Watch = {
    claims,
    subject,
    sessionId,
    expiresAt: readNumericDate((claims as { exp?: unknown }).exp),
    maxUnknownMs,
    onRevoked,
    acceptedPolicy: null,
    undecidedSinceMs: performance.now(),
    nextRequestAtMs: 0,
    stop() {
      signal?.removeEventListener('abort', watch.stop)
      remove(watch)
    },
  }
  signal?.addEventListener('abort', watch.stop)
  return watch
}

function startInterval(run: () => void, intervalMs: number): ReturnType<typeof setInterval> {
  const timer = setInterval(run, intervalMs)
  // In browsers and jsdom, a timer is a number. Elsewhere, the timer must not keep the process running.
  if (typeof timer === 'object') timer.unref()
  return timer
}
