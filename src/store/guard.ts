import type { Logger } from 'pino'
import { hasCode } from '../errors.js'
import { unavailableError } from '../pg/unavailable.js'
import type { LastLogoutStore } from '../ports.js'
import { createOutageLog } from './outage-log.js'
import type { ClaimOptions } from './tenant-row.js'

/** A store that rejects all calls until `open` has succeeded. */
export interface GuardedStore {
  store: LastLogoutStore
  /**
   * Checks the database, and claims the database for the tenant. May be called again after a failure.
   *
   * @throws The errors of `assertUsable` and `claim`.
   */
  open(): Promise<void>
  /** Returns the id of the database. Throws `DATABASE_UNAVAILABLE` before `open` has succeeded. */
  getDatabaseId(): string
}

/**
 * Guards a store. Before `open` has succeeded, every call throws `DATABASE_UNAVAILABLE`. Afterwards, the guard logs
 * outages of the database.
 *
 * @param assertUsable Must throw if the database cannot be used.
 * @param claimOptions How `open` claims the database.
 */
export function guardStore(
  inner: LastLogoutStore,
  assertUsable: () => Promise<void>,
  log: Logger,
  claimOptions: ClaimOptions = {},
): GuardedStore {
  const outage = createOutageLog(log)
  let databaseId: string | undefined

  function getDatabaseId(): string {
    if (databaseId === undefined) throw unavailableError(new Error('the database is not open yet'))
    return databaseId
  }

  const guard =
    <Args extends unknown[], Result>(call: (...args: Args) => Promise<Result>) =>
    async (...args: Args): Promise<Result> => {
      getDatabaseId()
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
      databaseId = await inner.claim(claimOptions)
    },
    getDatabaseId,
  }
}
