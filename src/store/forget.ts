import { LastLogoutError } from '../errors.js'
import type { ForgottenPerson } from '../rules/forgotten-person.js'
import type { Instant } from '../rules/instant.js'
import { createKeyedHash, type KeyedHash } from '../rules/keyed-hash.js'
import {
  type Executor,
  query,
  type StoreClient,
  type Transaction,
  tenantRowMissingError,
} from './database.js'
import { timestamp, toEpoch } from './epoch.js'
import { type EntrySearch, searchEntries } from './search-entries.js'
import type { LockedTenant } from './tenant-row.js'
import { writeSessions, writeUsers } from './write-batch.js'

/**
 * Maximum number of searches for unattributable entries. Each search after the first is necessary because a session of
 * the person was stored during the search before.
 */
const MAX_SEARCHES = 10

/** The parts of a store that {@link forget} needs. */
interface ForgetDeps {
  prisma: StoreClient
  /** Runs a write under the lock of the tenant row. */
  write: <T>(run: (tx: Transaction, tenant: LockedTenant) => Promise<T>) => Promise<T>
}

/**
 * Replaces the ids of a person by keyed hashes. Keeps the instants of the logouts, so that revoked tokens stay revoked.
 * The change feed then contains the rows with hashes instead of the rows with ids.
 *
 * Also deletes the unattributable entries (log entries that may be logouts but cannot be used) that contain one of the
 * ids. Sets `forgotten_at` to now in the rows that already contain the hashes of the person.
 *
 * The search for these entries takes long, so it runs before the lock of the tenant row is taken. Under the lock, only
 * the entries that were stored since then are searched.
 *
 * @throws `NO_PROGRESS` if new sessions of the person are stored during every search. Nothing was changed.
 */
export async function forget(
  { prisma, write }: ForgetDeps,
  userId: string,
): Promise<ForgottenPerson> {
  for (let count = 0; count < MAX_SEARCHES; count++) {
    const search = await query(async () => {
      const sessions = await readSessions(prisma, userId)
      return searchEntries(prisma, [userId, ...sessions.map(({ sessionId }) => sessionId)])
    })
    const person = await write((tx, tenant) => replaceIds(tx, tenant, userId, search))
    if (person !== null) return person
  }
  throw new LastLogoutError(
    'NO_PROGRESS',
    'the person was not forgotten, because new sessions of the person are stored all the time: delete the user in Auth0, then run this command again',
  )
}

/** Forgets a person. Returns `null` and changes nothing if a session of the person is not in the search. */
async function replaceIds(
  tx: Executor,
  { seq, now }: LockedTenant,
  userId: string,
  search: EntrySearch,
): Promise<ForgottenPerson | null> {
  const sessions = await readSessions(tx, userId)
  const sessionIds = sessions.map(({ sessionId }) => sessionId)
  if (!sessionIds.every((id) => search.ids.has(id))) return null
  const hash = createKeyedHash(await readForgetKey(tx))
  const userHash = hash(userId)
  const users = await readUser(tx, userId)

  const sharedColumns = { logId: '', forgottenAt: now }
  const hashedUsers = users.map((row) => ({ ...row, userId: userHash, ...sharedColumns }))
  const hashedSessions = sessions.map((row) => ({
    ...row,
    sessionId: hash(row.sessionId),
    userId: userHash,
    ...sharedColumns,
  }))
  if (users.length > 0) await writeUsers(tx, hashedUsers, seq)
  if (sessions.length > 0) await writeSessions(tx, hashedSessions, seq + BigInt(users.length))
  await tx.$executeRaw`
    DELETE FROM ${tx.tables.lastLogout} WHERE user_id = ${userId} AND forgotten_at IS NULL`
  await tx.$executeRaw`
    DELETE FROM ${tx.tables.sessionLogout}
    WHERE session_id = ANY(${sessionIds}::text[]) AND forgotten_at IS NULL`

  const entries = await deleteEntries(tx, hash, [
    ...new Set([...search.found, ...(await search.searchNewer(tx))]),
  ])
  await tx.$executeRaw`
    UPDATE ${tx.tables.lastLogout} SET forgotten_at = GREATEST(forgotten_at, ${timestamp(now)})
    WHERE user_id = ${userHash} AND forgotten_at IS NOT NULL`
  await tx.$executeRaw`
    UPDATE ${tx.tables.sessionLogout} SET forgotten_at = GREATEST(forgotten_at, ${timestamp(now)})
    WHERE user_id = ${userHash} AND forgotten_at IS NOT NULL`
  const remaining = await readRemaining(tx, userHash)
  if (remaining !== null || entries > 0) {
    await tx.$executeRaw`
      UPDATE ${tx.tables.tenant} SET forgotten_at = GREATEST(forgotten_at, ${timestamp(now)}),
        seq = ${seq + BigInt(users.length + sessions.length)}`
  }
  return { users: users.length, sessions: sessions.length, entries, remaining, now }
}

async function readForgetKey(tx: Executor): Promise<string> {
  const [tenant] = await tx.$queryRaw<
    { key: string }[]
  >`SELECT forget_key::text AS key FROM ${tx.tables.tenant}`
  if (tenant === undefined) throw tenantRowMissingError()
  return tenant.key
}

interface StoredUser {
  userId: string
  at: Instant
  allSessionsAt: Instant | null
  type: string
}

/** Reads the row that contains the id of a user. Returns no row if all rows of the user contain hashes. */
function readUser(tx: Executor, userId: string): Promise<StoredUser[]> {
  return tx.$queryRaw<StoredUser[]>`
    SELECT user_id AS "userId", ${toEpoch('at')} AS at,
      ${toEpoch('all_sessions_at')} AS "allSessionsAt", type
    FROM ${tx.tables.lastLogout} WHERE user_id = ${userId} AND forgotten_at IS NULL`
}

interface StoredSession {
  sessionId: string
  at: Instant
  ended: boolean
  type: string
}

function readSessions(tx: Executor, userId: string): Promise<StoredSession[]> {
  return tx.$queryRaw<StoredSession[]>`
    SELECT session_id AS "sessionId", ${toEpoch('at')} AS at, ended, type
    FROM ${tx.tables.sessionLogout} WHERE user_id = ${userId} AND forgotten_at IS NULL`
}

/**
 * Deletes unattributable entries. In place of each entry, stores the hash of the entry's id, so that a later read of the
 * log does not store the entry again.
 *
 * @returns The number of deleted entries.
 */
async function deleteEntries(tx: Executor, hash: KeyedHash, entryIds: string[]): Promise<number> {
  if (entryIds.length === 0) return 0
  await tx.$executeRaw`
    INSERT INTO ${tx.tables.unattributable} (id, reason, entry, received_at)
    SELECT hash, reason, '', received_at
    FROM unnest(${entryIds}::text[], ${entryIds.map(hash)}::text[]) AS found (id, hash)
    JOIN ${tx.tables.unattributable} USING (id)
    ON CONFLICT (id) DO NOTHING`
  return tx.$executeRaw`DELETE FROM ${tx.tables.unattributable} WHERE id = ANY(${entryIds}::text[])`
}

interface RemainingRow {
  /** The instant of the latest logout; `null` if no row remains. */
  newest: Instant | null
  user_at: Instant | null
  sessions: number
}

/** Summarizes the rows that contain the hashes of a person. */
async function readRemaining(
  tx: Executor,
  userHash: string,
): Promise<ForgottenPerson['remaining']> {
  const [row] = await tx.$queryRaw<RemainingRow[]>`
    SELECT ${toEpoch('max(at)')} AS newest, ${toEpoch('max(at) FILTER (WHERE is_user)')} AS user_at,
      (count(*) FILTER (WHERE NOT is_user))::integer AS sessions
    FROM (
      SELECT at, true AS is_user FROM ${tx.tables.lastLogout}
      WHERE user_id = ${userHash} AND forgotten_at IS NOT NULL
      UNION ALL
      SELECT at, false FROM ${tx.tables.sessionLogout} WHERE user_id = ${userHash} AND forgotten_at IS NOT NULL
    ) AS remaining`
  if (row === undefined || row.newest === null) return null
  return { lastLogoutAt: row.user_at, sessions: row.sessions, newestAt: row.newest }
}
