import { hash } from 'node:crypto'
import type pg from 'pg'
import { hasSqlState } from './sql-state.js'

/** A statement with placeholders, and the values for them. */
interface Statement {
  text: string
  values: unknown[]
}

/** Runs a statement that is prepared. Returns its rows. */
export type PreparedQuery = <Row extends pg.QueryResultRow>(statement: Statement) => Promise<Row[]>

/** SQLSTATEs: invalid_sql_statement_name, duplicate_prepared_statement. */
const NOT_KEPT_STATES = ['26000', '42P05']

/**
 * Creates a function that runs reads as prepared statements: each connection parses and plans a text once. A connection
 * keeps its plan until statistics or tables change, or until the pool replaces the connection.
 *
 * A pooler in transaction mode without support for prepared statements passes a transaction to any of its connections to
 * the server. There, the statement can be unknown, or can have been prepared by another client. The name of a statement
 * is a digest of its text, so it never stands for another text. After the first such error, all statements run without
 * a name, like those of any other query.
 *
 * @param onNotKept Called once if the pooler does not keep prepared statements.
 */
export function createPreparedQuery(
  pool: pg.Pool,
  onNotKept: (error: Error) => void,
): PreparedQuery {
  let isKept = true
  return async function run<Row extends pg.QueryResultRow>({ text, values }: Statement) {
    const name = isKept ? nameOf(text) : undefined
    try {
      const { rows } = await pool.query<Row>({ text, values, ...(name !== undefined && { name }) })
      return rows
    } catch (error) {
      if (name === undefined || !isNotKept(error)) throw error
      if (isKept) onNotKept(error)
      isKept = false
      return run<Row>({ text, values })
    }
  }
}

function isNotKept(error: unknown): error is Error {
  return NOT_KEPT_STATES.some((state) => hasSqlState(error, state))
}

/** Returns the name of a statement. PostgreSQL uses at most 63 characters of it. */
function nameOf(text: string): string {
  return `last_logout_${hash('sha256', text, 'hex').slice(0, 32)}`
}
