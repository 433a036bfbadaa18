import type { Logger } from 'pino'
import { hasCode } from '../errors.js'
import { unavailableError } from '../pg/unavailable.js'
import type { LastLogoutStore } from '../ports.js'
import { createOutageLog } from './outage-log.js'

/** A store that rejects every call until its database has been checked, and claimed for one tenant. */
export interface GuardedStore {
  store: LastLogoutStore
  /**
   * Checks the database and claims it for the tenant. After that, the store accepts calls.
   *
   * @throws What `assertUsable` and `claim` throw. `open` can be called again.
   */
  open(): Promise<void>
}

/**
 * Guards a store. Until `open` has succeeded, every call throws `DATABASE_UNAVAILABLE`. After that, outages of the
 * database are logged.
 *
 * @param assertUsable Throws if the database must not be used.
 */
export function guardStore(
  inner: LastLogoutStore,
  assertUsable: () => Promise<void>,
  log: Logger,
): GuardedStore {
  const outage = createOutageLog(log)
  let isOpen = false

  const guard =
    <Args extends unknown[], Result>(call: (...args: Args) => Promise<Result>) =>
    async (...args: Args): Promise<Result> => {
      if (!isOpen) throw unavailableError(new Error('the database is not open yet'))
      try {
        const result = await call(...args)
        outage.recordSuccess()
        return result
      } catch (error) {
        if (hasCode(error, 'DATABASE_UNAVAILABLE')) outage.recordFailure(error)
        throw error
      }
    }

  return {
    store: {
      claim: guard(inner.claim),
      readProgress: guard(inner.readProgress),
      acquireLease: guard(inner.acquireLease),
      releaseLease: guard(inner.releaseLease),
      setFirstCheckpoint: guard(inner.setFirstCheckpoint),
      moveCheckpoint: guard(inner.moveCheckpoint),
      storePage: guard(inner.storePage),
      storeSweep: guard(inner.storeSweep),
      storeBatch: guard(inner.storeBatch),
      storeReconciled: guard(inner.storeReconciled),
      finishReconcile: guard(inner.finishReconcile),
      storeGap: guard(inner.storeGap),
      storeReported: guard(inner.storeReported),
      raiseFloor: guard(inner.raiseFloor),
      storeCaughtUp: guard(inner.storeCaughtUp),
      readKnownLogouts: guard(inner.readKnownLogouts),
      readChanges: guard(inner.readChanges),
      count: guard(inner.count),
      readGaps: guard(inner.readGaps),
      forget: guard(inner.forget),
      prune: guard(inner.prune),
    },
    async open() {
      await assertUsable()
      await inner.claim()
      isOpen = true
    },
  }
}
