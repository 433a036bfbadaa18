import type { LastLogoutStore } from '../ports.js'
import type { Progress } from '../rules/progress.js'

/**
 * Creates a store that does not read the progress again while this poller knows it: from the statement that acquired the
 * lease, or that recorded the end of the log, until the next write. A poll that finds nothing new then needs no statement
 * to read it. If another poller has moved the checkpoint meanwhile, the write that expects the known one is refused.
 *
 * @param progress The progress that the lease was acquired with.
 */
export function withKnownProgress(store: LastLogoutStore, progress: Progress): LastLogoutStore {
  let known: Progress | null = progress
  const invalidate =
    <Args extends unknown[], Result>(write: (...args: Args) => Promise<Result>) =>
    (...args: Args): Promise<Result> => {
      known = null
      return write(...args)
    }
  return {
    ...store,
    readProgress: async () => known ?? store.readProgress(),
    async storeCaughtUp(checkpoint, requestedAt) {
      known = null
      known = await store.storeCaughtUp(checkpoint, requestedAt)
      return known
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
