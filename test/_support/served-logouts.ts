import type { LastLogoutStore } from '../../src/ports.js'
import { fold } from '../../src/rules/fold.js'
import { createTestDatabase } from './database.js'
import { serveApi } from './served-api.js'
import { CHECKPOINT, openTestStore } from './store.js'
import { DOMAIN } from './tenant.js'

/** An API on the loopback interface, and the store that it reads. */
export interface ServedLogouts {
  url: string
  store: LastLogoutStore
  /**
   * Stores a logout of a session. Without `sessionId`, stores a logout of all sessions of the user.
   *
   * @param at The time of the logout, in milliseconds since the epoch. Default: now.
   */
  logOut(userId: string, sessionId?: string, at?: number): Promise<void>
  close(): Promise<void>
}

/**
 * Serves the API with a new database without logouts.
 *
 * @param asOf The instant up to which the log counts as read. `null`: the log has not been read.
 */
export async function serveLogouts(asOf: number | null = Date.now()): Promise<ServedLogouts> {
  const database = await createTestDatabase()
  const store = await openTestStore(database, { domain: DOMAIN })
  await store.setFirstCheckpoint(CHECKPOINT, null)
  if (asOf !== null) await store.storeCaughtUp(CHECKPOINT, asOf)
  const api = await serveApi(database)
  return {
    url: api.url,
    store,
    async logOut(userId, sessionId, at = Date.now()) {
      const event = { logId: `L${at}`, type: 'slo', at, userId, sessionId: sessionId ?? null }
      await store.storeBatch({ ...fold([event]), unattributable: [] })
    },
    async close() {
      await api.close()
      await store.close()
      await database.drop()
    },
  }
}
