import pg from 'pg'
import { LastLogoutError } from '../errors.js'
import { withClient } from '../pg/client.js'

/** SQLSTATE: protocol_violation. PgBouncer reports it for what it does not allow. */
const PROTOCOL_VIOLATION = '08P01'

/**
 * Checks that transactions are possible. A connection pooler that pools by statement allows none.
 *
 * @throws `CONFIGURATION` when they are not.
 * @throws `DATABASE_UNAVAILABLE` when the connection fails or breaks.
 */
export async function assertTransactions(url: string): Promise<void> {
  await withClient(url, async (client) => {
    // The connection is alive: only BEGIN can be what is refused.
    await client.query('SELECT')
    await client.query('BEGIN').catch((error) => {
      throw isProtocolViolation(error) ? refused(error) : error
    })
    await client.query('ROLLBACK')
  })
}

function isProtocolViolation(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === PROTOCOL_VIOLATION
}

function refused(cause: unknown): LastLogoutError {
  const message =
    'DATABASE_URL leads to a connection pooler that allows no transactions (PgBouncer: pool_mode = statement). Use ' +
    'transaction or session pooling there, and set DATABASE_DIRECT_URL to the PostgreSQL server itself, without a ' +
    'pooler in between'
  return new LastLogoutError('CONFIGURATION', message, { cause })
}
