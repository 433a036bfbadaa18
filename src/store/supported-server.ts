import { LastLogoutError } from '../errors.js'
import { withClient } from '../pg/client.js'
import { hasSqlState, PROTOCOL_VIOLATION } from '../pg/sql-state.js'

/** The first supported major version of PostgreSQL. */
const MIN_VERSION = 14

/**
 * Checks that the version of the server is supported, and that the connection allows transactions. A connection pooler
 * in statement mode allows no transactions.
 *
 * @throws `CONFIGURATION` if the server is not supported.
 * @throws `DATABASE_UNAVAILABLE` if the connection fails or breaks.
 */
export async function assertServerSupported(url: string): Promise<void> {
  await withClient(url, async (client) => {
    const { rows } = await client.query<{ number: number; version: string }>(
      `SELECT current_setting('server_version_num')::integer AS number,
         current_setting('server_version') AS version`,
    )
    const [server] = rows
    if (server !== undefined && server.number < MIN_VERSION * 10_000) {
      throw notSupportedError(
        `PostgreSQL ${server.version} is not supported: use PostgreSQL ${MIN_VERSION} or later`,
      )
    }
    // The query above has succeeded, so a protocol violation means that the server does not allow transactions.
    await client.query('BEGIN').catch((error) => {
      throw hasSqlState(error, PROTOCOL_VIOLATION)
        ? notSupportedError(NO_TRANSACTIONS, error)
        : error
    })
    await client.query('ROLLBACK')
  })
}

const NO_TRANSACTIONS =
  'DATABASE_URL leads to a connection pooler that allows no transactions (PgBouncer: pool_mode = statement). Use ' +
  'transaction or session pooling there, and set DATABASE_DIRECT_URL to the PostgreSQL server itself, without a ' +
  'pooler in between'

function notSupportedError(message: string, cause?: unknown): LastLogoutError {
  return new LastLogoutError('CONFIGURATION', message, { cause })
}
