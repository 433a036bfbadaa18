import type { Database } from '../src/store/database.js'

const TRANSACTION_TIMEOUT_MS = 300_000

/**
 * Stores a logout of each user and of each session. Computes the same ids as `subjects.ts`. Sets `as_of` to now, as if
 * the log had been read to its end. Afterwards, the tables have no statistics, as after a bulk load. `seq` is the
 * position of a row in the change feed: each user takes two, after all existing rows.
 *
 * @param users Stores the users with numbers from `first` to `users - 1`.
 * @param first Number of the first user to store. Default: 0.
 */
export async function fillTables({ prisma }: Database, users: number, first = 0): Promise<void> {
  await prisma.$transaction(
    async (tx) => {
      await tx.$executeRaw`
        UPDATE tenant SET as_of = now(),
          seq = GREATEST(seq, (extract(epoch FROM now() - interval '1 hour') * 1000000)::bigint)`
      await tx.$executeRaw`
        WITH subject AS (
          SELECT 'auth0|' || lpad(to_hex(n * 2654435761), 24, '6') AS user_id,
            'S' || lpad(to_hex(n * 2246822519), 31, 'x') AS session_id, lpad(n::text, 56, '0') AS log_id,
            tenant.seq + 2 * (n - ${first}::bigint) AS seq
          FROM tenant, generate_series(${first}::bigint, ${users}::bigint - 1) AS n
        ), sessions AS (
          INSERT INTO session_logout (session_id, user_id, at, ended, log_id, type, seq)
          SELECT session_id, user_id, now(), true, log_id, 'slo', seq + 2 FROM subject
        )
        INSERT INTO last_logout (user_id, at, log_id, type, seq)
        SELECT user_id, now(), log_id, 'slo', seq + 1 FROM subject`
      await tx.$executeRaw`UPDATE tenant SET seq = seq + 2 * ${users - first}::bigint`
    },
    { timeout: TRANSACTION_TIMEOUT_MS },
  )
}
