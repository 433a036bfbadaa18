import type { Batch, Unattributable } from '../rules/batch.js'
import { isAhead } from '../rules/freshness.js'
import { type Instant, later } from '../rules/instant.js'
import { createKeyedHash, type KeyedHash } from '../rules/keyed-hash.js'
import type { Executor } from './database.js'
import { toEpoch } from './epoch.js'
import { truncateEntry, UNATTRIBUTABLE_ID } from './unattributable.js'

/*
 * A person who was forgotten still has rows in `last_logout` and `session_logout`, so that the tokens of the person
 * stay revoked. These rows contain keyed hashes instead of ids.
 *
 * A logout that happened before the person was forgotten is written to these rows, even if the entry of the logout is
 * read afterwards. A logout that happened more than a minute later ({@link isAhead}) is stored with ids: the person has
 * logged in again, and subscribers that do not know the hashes must receive the logout.
 */

type User = Batch['users'][number]
type Session = Batch['sessions'][number]

/** A row to write. `forgottenAt`: when the person was forgotten; `null` if the row contains ids, not hashes. */
type WritableRow<Row> = Row & { forgottenAt: Instant | null }

/** A batch in which keyed hashes have replaced the ids of forgotten people. */
export interface WritableBatch {
  users: WritableRow<User>[]
  sessions: WritableRow<Session>[]
  /** Removes the entries that were deleted when a person was forgotten. */
  dropForgotten(entries: Unattributable[]): Promise<Unattributable[]>
}

/** Replaces the ids of forgotten people in a batch by keyed hashes. */
export async function replaceForgotten(tx: Executor, batch: Batch): Promise<WritableBatch> {
  const [tenant] = await tx.$queryRaw<{ forget_key: string; is_used: boolean }[]>`
    SELECT forget_key::text, forgotten_at IS NOT NULL AS is_used FROM ${tx.tables.tenant}`
  if (tenant === undefined || !tenant.is_used) {
    const unchanged = <Row>(row: Row): WritableRow<Row> => ({ ...row, forgottenAt: null })
    return {
      users: batch.users.map(unchanged),
      sessions: batch.sessions.map(unchanged),
      dropForgotten: async (entries) => entries,
    }
  }
  const hash = createKeyedHash(tenant.forget_key)
  const { users, sessions } = batch
  const forgotten = await readForgotten(tx, hash, batch)
  return {
    users: users.map((row) => replaceUser(row, hash, forgotten)),
    sessions: sessions.map((row) => replaceSession(row, hash, forgotten)),
    dropForgotten: (entries) => dropForgotten(tx, hash, entries),
  }
}

/** Maps the hash of an id to the instant at which the person was forgotten. */
type Forgotten = ReadonlyMap<string, Instant>

async function readForgotten(
  tx: Executor,
  hash: KeyedHash,
  { users, sessions }: Batch,
): Promise<Forgotten> {
  const userIds = [...users, ...sessions].flatMap(({ userId }) => userId ?? [])
  const rows = await tx.$queryRaw<{ id: string; forgotten_at: Instant }[]>`
    SELECT user_id AS id, ${toEpoch('forgotten_at')} AS forgotten_at FROM ${tx.tables.lastLogout}
    WHERE user_id = ANY(${userIds.map(hash)}::text[]) AND forgotten_at IS NOT NULL
    UNION ALL
    SELECT session_id, ${toEpoch('forgotten_at')} FROM ${tx.tables.sessionLogout}
    WHERE session_id = ANY(${sessions.map(({ sessionId }) => hash(sessionId))}::text[])
      AND forgotten_at IS NOT NULL`
  return new Map(rows.map((row) => [row.id, row.forgotten_at]))
}

function replaceUser(row: User, hash: KeyedHash, forgotten: Forgotten): WritableRow<User> {
  const userId = hash(row.userId)
  const forgottenAt = forgotten.get(userId) ?? null
  if (forgottenAt === null || isAhead(row.at, forgottenAt)) return { ...row, forgottenAt: null }
  return { ...row, userId, logId: '', forgottenAt }
}

/** Replaces the ids of a session if the session or its user was forgotten. */
function replaceSession(row: Session, hash: KeyedHash, forgotten: Forgotten): WritableRow<Session> {
  const sessionId = hash(row.sessionId)
  const userId = row.userId === null ? null : hash(row.userId)
  const userForgottenAt = userId === null ? null : (forgotten.get(userId) ?? null)
  const forgottenAt = later(forgotten.get(sessionId) ?? null, userForgottenAt)
  if (forgottenAt === null || isAhead(row.at, forgottenAt)) return { ...row, forgottenAt: null }
  return { ...row, sessionId, userId, logId: '', forgottenAt }
}

/**
 * Removes the entries that were deleted when a person was forgotten. For each deleted entry, the table contains a row
 * with the hash of the entry's id and an empty `entry`.
 */
async function dropForgotten(
  tx: Executor,
  hash: KeyedHash,
  entries: Unattributable[],
): Promise<Unattributable[]> {
  if (entries.length === 0) return entries
  const rows = await tx.$queryRaw<{ id: string }[]>`
    SELECT ${UNATTRIBUTABLE_ID} AS id
    FROM unnest(
      ${entries.map(({ logId }) => logId)}::text[], ${entries.map(truncateEntry)}::text[]
    ) WITH ORDINALITY AS received (log_id, entry, position)
    ORDER BY position`
  const hashes = rows.map(({ id }) => hash(id))
  const deletedRows = await tx.$queryRaw<{ id: string }[]>`
    SELECT id FROM ${tx.tables.unattributable} WHERE id = ANY(${hashes}::text[]) AND entry = ''`
  const deletedHashes = new Set(deletedRows.map(({ id }) => id))
  return entries.filter((_entry, index) => !deletedHashes.has(hashes[index] ?? ''))
}
