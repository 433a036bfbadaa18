import type { LastLogoutStore } from '../../src/ports.js'
import { fold } from '../../src/rules/fold.js'
import { createTestDatabase } from './database.js'
import { serveApi } from './served-api.js'
import { openStore } from './store.js'
import { DOMAIN } from './tenant.js'

const CHECKPOINT = '90020261123100000000000000000000000000000000000000000000'

/** A served API, read up to now. */
export interface ServedLogouts {
  url: string
  store: LastLogoutStore
  /** Stores a logout of now; without a session, of all. */
  logOut(userId: string, sessionId?: string): Promise<void>
  close(): Promise<void>
}

/** Serves the API over a database of its own, which holds no logout yet. */
export async function serveLogouts(): Promise<ServedLogouts> {
  const database = await createTestDatabase()
  const store = await openStore(database, { domain: DOMAIN })
  await store.begin(CHECKPOINT, null)
  await store.storeCaughtUp(CHECKPOINT, Date.now())
  const api = await serveApi(database)
  return {
    url: api.url,
    store,
    async logOut(userId, sessionId) {
      const at = Date.now()
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
