import type { LastLogoutStore } from '../ports.js'
import type { Progress } from '../rules/progress.js'

/**
 * Creates a store that caches the progress (the state of reading the log) until the next write. A poll without new
 * entries then needs no separate read of the progress: the statement that acquires the lease returns the progress, and
 * so does the statement that records the end of the log.
 *
 * If another process moves the checkpoint, the cached progress is out of date. The next write then changes nothing,
 * because every write states the checkpoint that it expects.
 *
 * @param progress The progress that was returned when the lease was acquired.
 */
export function withCachedProgress(store: LastLogoutStore, progress: Progress): LastLogoutStore {
  let cached: Progress | null = progress
  const invalidate =
    <Args extends unknown[], Result>(write: (...args: Args) => Promise<Result>) =>
    (...args: Args): Promise<Result> => {
      cached = null
      return write(...args)
    }
  return {
    ...store,
    readProgress: async () => cached ?? store.readProgress(),
    async storeCaughtUp(checkpoint, requestedAt) {
      cached = null
      cached = await store.storeCaughtUp(checkpoint, requestedAt)
      return cached
    },
    setFirstCheckpoint: invalidate(store.setFirstCheckpoint),
    moveCheckpoint: invalidate(store.moveCheckpoint),
    storePage: invalidate(store.storePage),
    storeSweep: invalidate(store.storeSweep),
    finishReconcile: invalidate(store.finishReconcile),
    storeGap: invalidate(store.storeGap),
    raiseFloor: invalidate(store.raiseFloor),
  }
}
