import { hash } from 'node:crypto'
import type pg from 'pg'
import { hasSqlState } from './sql-state.js'

/** A statement with placeholders, and the values for them. */
interface Statement {
  text: string
  values: unknown[]
}

/** Prepares and runs a statement. Returns the rows of the result. */
export type PreparedQuery = <Row extends pg.QueryResultRow>(statement: Statement) => Promise<Row[]>

/** SQLSTATEs of an unknown prepared statement and of a duplicate one. */
const UNSUPPORTED_STATES = ['26000', '42P05']

/**
 * Creates a function that runs prepared statements, outside of any transaction. Each connection parses and plans a text
 * once.
 *
 * Some poolers in transaction mode do not support prepared statements. They forward each transaction to any of their
 * connections to the server. That connection may not know the statement, or may already know it from another client.
 * Such an error is harmless, because the name of a statement is a digest of its text. After the first such error, the
 * function runs all statements unprepared.
 *
 * @param onUnsupported Called once if the pooler does not support prepared statements.
 */
export function createPreparedQuery(
  pool: pg.Pool,
  onUnsupported: (error: Error) => void,
): PreparedQuery {
  let isSupported = true
  return async function run<Row extends pg.QueryResultRow>({ text, values }: Statement) {
    // Only a statement with a name is prepared.
    const name = isSupported ? nameOf(text) : undefined
    try {
      const { rows } = await pool.query<Row>({ text, values, ...(name !== undefined && { name }) })
      return rows
    } catch (error) {
      if (name === undefined || !isUnsupported(error)) throw error
      if (isSupported) onUnsupported(error)
      isSupported = false
      return run<Row>({ text, values })
    }
  }
}

function isUnsupported(error: unknown): error is Error {
  return UNSUPPORTED_STATES.some((state) => hasSqlState(error, state))
}

/** Returns the name of a statement. PostgreSQL uses only the first 63 characters of a name. */
function nameOf(text: string): string {
  return `last_logout_${hash('sha256', text, 'hex').slice(0, 32)}`
}
