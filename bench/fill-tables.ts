import type { Database } from '../src/store/database.js'

/**
 * Stores a logout of each user and of each session, with the ids of `subjects.ts`, and a log that has been read to its
 * end. The tables get no statistics, as after a bulk load.
 */
export async function fillTables({ prisma }: Database, users: number): Promise<void> {
  await prisma.$executeRaw`
    WITH subject AS (
      SELECT n, 'auth0|' || lpad(to_hex(n * 2654435761), 24, '6') AS user_id,
        'S' || lpad(to_hex(n * 2246822519), 31, 'x') AS session_id, lpad(n::text, 56, '0') AS log_id
      FROM generate_series(0, ${users}::bigint - 1) AS n
    ), sessions AS (
      INSERT INTO session_logout (session_id, user_id, at, ended, log_id, type, seq)
      SELECT session_id, user_id, now(), true, log_id, 'slo', ${users}::bigint + n FROM subject
    )
    INSERT INTO last_logout (user_id, at, log_id, type, seq)
    SELECT user_id, now(), log_id, 'slo', n FROM subject`
  await prisma.$executeRaw`UPDATE tenant SET as_of = now(), seq = ${users}::bigint * 2`
}
