import type { ForgottenPerson } from '../rules/forgotten-person.js'
import type { Instant } from '../rules/instant.js'
import { createKeyedHash, type KeyedHash } from '../rules/keyed-hash.js'
import { type Executor, tenantRowMissingError } from './database.js'
import { timestamp, toEpoch } from './epoch.js'
import { escapeNonAscii } from './isolate-rows.js'
import type { LockedTenant } from './tenant-row.js'
import { writeSessions, writeUsers } from './write-batch.js'

/**
 * Replaces the ids of a person by keyed hashes. Keeps the instants of the logouts, so that revoked tokens stay revoked.
 * The change feed then contains the rows with hashes instead of the rows with ids.
 *
 * Also deletes the unattributable entries (log entries that may be logouts but cannot be used) that contain one of the
 * ids. Sets `forgotten_at` to now in the rows that already contain the hashes of the person.
 */
export async function forget(
  tx: Executor,
  { seq, now }: LockedTenant,
  userId: string,
): Promise<ForgottenPerson> {
  const hash = createKeyedHash(await readForgetKey(tx))
  const userHash = hash(userId)
  const users = await readUser(tx, userId)
  const sessions = await readSessions(tx, userId)
  const sessionIds = sessions.map(({ sessionId }) => sessionId)

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

  const entries = await deleteUnattributable(tx, hash, [userId, ...sessionIds])
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
 * Deletes the unattributable entries that contain one of `ids`. In place of each entry, stores the hash of the entry's
 * id, so that a later read of the log does not store the entry again.
 *
 * @returns The number of deleted entries.
 */
async function deleteUnattributable(tx: Executor, hash: KeyedHash, ids: string[]): Promise<number> {
  const rows = await tx.$queryRaw<{ id: string }[]>`
    SELECT id FROM ${tx.tables.unattributable} WHERE EXISTS (
      SELECT FROM unnest(${ids.flatMap(spellings)}::text[]) AS spelling
      WHERE strpos(entry, spelling) > 0)`
  if (rows.length === 0) return 0
  const entryIds = rows.map(({ id }) => id)
  await tx.$executeRaw`
    INSERT INTO ${tx.tables.unattributable} (id, reason, entry, received_at)
    SELECT hash, reason, '', received_at
    FROM unnest(${entryIds}::text[], ${entryIds.map(hash)}::text[]) AS found (id, hash)
    JOIN ${tx.tables.unattributable} USING (id)
    ON CONFLICT (id) DO NOTHING`
  return tx.$executeRaw`DELETE FROM ${tx.tables.unattributable} WHERE id = ANY(${entryIds}::text[])`
}

/**
 * Returns every spelling that an id can have in a stored entry:
 *
 * - the id without escapes
 * - the id with the escapes of JSON
 * - the id with double escapes, because an entry that could not be parsed is stored as a JSON string
 * - each of these spellings in ASCII, because entries of rows that PostgreSQL refused are stored in ASCII
 */
function spellings(id: string): string[] {
  const escaped = JSON.stringify(id).slice(1, -1)
  const all = [id, escaped, JSON.stringify(escaped).slice(1, -1)]
  return [...new Set([...all, ...all.map(escapeNonAscii)])]
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
