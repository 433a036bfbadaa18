import { pino } from 'pino'
import type { PoolTimeouts } from '../../src/pg/pool.js'
import type { LastLogoutStore } from '../../src/ports.js'
import { createDatabase } from '../../src/store/database.js'
import { clockForTests } from '../../src/store/epoch.js'
import { createLastLogoutStore } from '../../src/store/last-logout-store.js'
import type { TestDatabase } from './database.js'

/** A log id of a test. It contains the time at which Auth0 stored the entry: 2026-11-23T10:00:00Z. */
export const CHECKPOINT = '90020261123100000000000000000000000000000000000000000000'

interface StoreSettings {
  /** The domain of the tenant. Default: `tenant.example`. */
  domain?: string
  /** The maximum time from a login until its tokens expire, in milliseconds. Default: 31 days. */
  horizonMs?: number
  /** Replaces the clock of the database. */
  now?: (() => number) | undefined
  idleTransactionTimeoutMs?: number
  shortReportWaitMs?: number
}

/** Opens the store of a test database, and claims the database for a tenant, as the service does at its start. */
export async function openTestStore(
  { url }: Pick<TestDatabase, 'url'>,
  {
    domain = 'tenant.example',
    horizonMs = 31 * 86_400_000,
    now,
    idleTransactionTimeoutMs = 30_000,
    shortReportWaitMs,
  }: StoreSettings = {},
  timeouts: PoolTimeouts = {},
): Promise<LastLogoutStore & { close(): Promise<void> }> {
  const database = createDatabase(url, pino({ level: 'silent' }), timeouts)
  const store = createLastLogoutStore({
    database,
    domain,
    horizonMs,
    clock: now && clockForTests(now),
    idleTransactionTimeoutMs,
    maxReadWaitMs: timeouts.connectTimeoutMs,
    shortReportWaitMs,
  })
  await store.claim()
  return { ...store, close: database.close }
}

interface UserRow {
  user_id: string
  at: Date
  all_sessions_at: Date | null
  log_id: string
  type: string
}

interface SessionRow {
  session_id: string
  user_id: string | null
  at: Date
  ended: boolean
  log_id: string
  type: string
}

/** Reads all rows. Their fields and their order are those of `expectedRows`. */
export async function readRows(database: Pick<TestDatabase, 'query'>) {
  const users = await database.query<UserRow>(
    'SELECT * FROM last_logout ORDER BY user_id COLLATE "C"',
  )
  const sessions = await database.query<SessionRow>(
    'SELECT * FROM session_logout ORDER BY session_id COLLATE "C"',
  )
  return {
    users: users.map((row) => ({
      userId: row.user_id,
      at: row.at.getTime(),
      allSessionsAt: row.all_sessions_at?.getTime() ?? null,
      logId: row.log_id,
      type: row.type,
    })),
    sessions: sessions.map((row) => ({
      sessionId: row.session_id,
      userId: row.user_id,
      at: row.at.getTime(),
      ended: row.ended,
      logId: row.log_id,
      type: row.type,
    })),
  }
}

/** Ends the lease, the exclusive right of one worker to poll. */
export async function expireLease(database: Pick<TestDatabase, 'query'>): Promise<void> {
  await database.query('UPDATE tenant SET lease_until = now() WHERE lease_until > now()')
}

/** Reads the ids of all users with a stored logout, in their order. */
export async function readUserIds(database: Pick<TestDatabase, 'query'>): Promise<string[]> {
  return (await readRows(database)).users.map(({ userId }) => userId)
}
