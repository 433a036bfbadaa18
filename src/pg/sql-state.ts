import pg from 'pg'

/**
 * SQLSTATE classes of an unavailable server: connection exception, invalid authorization, invalid catalog
 * name, insufficient resources, operator intervention.
 *
 * @see https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
const UNAVAILABLE_CLASSES = new Set(['08', '28', '3D', '53', '57'])

/**
 * SQLSTATEs of an unusable connection.
 *
 * - `25006` (read_only_sql_transaction): the server is a replica.
 * - `25P03` (idle_in_transaction_session_timeout): the server has ended the session.
 * - `25P04` (transaction_timeout, since PostgreSQL 17): the server has ended the session.
 */
const UNAVAILABLE_STATES = new Set(['25006', '25P03', '25P04'])

/** SQLSTATE classes that a retry cannot resolve: wrong credentials, and an unknown database. */
const REFUSED_CLASSES = new Set(['28', '3D'])

/** Whether the SQLSTATE reports an unavailable server: the same query can succeed later, or on another connection. */
export function isUnavailableState(state: string | undefined): boolean {
  return (
    state !== undefined &&
    (UNAVAILABLE_CLASSES.has(state.slice(0, 2)) || UNAVAILABLE_STATES.has(state))
  )
}

/** Whether the server refused the connection because the configuration is wrong. */
export function isRefusedState(state: string): boolean {
  return REFUSED_CLASSES.has(state.slice(0, 2))
}

/** SQLSTATEs of a conflict with another transaction: serialization failure, deadlock, lock timeout. */
const CONFLICT_STATES = new Set(['40001', '40P01', '55P03'])

/** Whether a transaction failed because of a concurrent transaction. A retry can succeed. */
export function isConflictState(state: string | undefined): boolean {
  return state !== undefined && CONFLICT_STATES.has(state)
}

/**
 * SQLSTATE classes of a row that cannot be stored: data exception, integrity constraint violation, WITH CHECK OPTION
 * violation, program limit exceeded, exception of a trigger.
 */
const REFUSED_ROW_CLASSES = new Set(['22', '23', '44', '54', 'P0'])

/** Whether the server refused a statement because of the values in a row. */
export function isRefusedRowState(state: string | undefined): boolean {
  return state !== undefined && REFUSED_ROW_CLASSES.has(state.slice(0, 2))
}

/** SQLSTATE: insufficient_privilege. */
export const INSUFFICIENT_PRIVILEGE = '42501'

/** SQLSTATE: protocol_violation. PgBouncer sends this error for a startup parameter that it does not allow. */
export const PROTOCOL_VIOLATION = '08P01'

/** Whether the server reported an error with this SQLSTATE. */
export function hasSqlState(error: unknown, state: string): boolean {
  return error instanceof pg.DatabaseError && error.code === state
}

const LOCK_ADVICE =
  'other sessions keep locking the same rows; find long transactions in pg_stat_activity'

/** What an operator should do, by SQLSTATE or by its class. */
const ADVICE: Record<string, string> = {
  '28': 'check the user and the password in DATABASE_URL',
  '3D': 'check the name of the database in DATABASE_URL',
  '25006': 'the server is read-only; set DATABASE_URL to the primary',
  '25P04':
    'a transaction took longer than transaction_timeout; raise it, and find long transactions in pg_stat_activity',
  '53100': 'the disk is full; free disk space',
  '53200': 'the server is out of memory; free memory',
  '53300': 'all connections are in use; close some, or raise max_connections',
  '40001': LOCK_ADVICE,
  '40P01': LOCK_ADVICE,
  '55P03': LOCK_ADVICE,
  '57P03': 'the server is starting, recovering or stopping; try again in a moment',
  '57014': 'a query was cancelled; check statement_timeout and the load of the server',
}

/** Returns what an operator should do when PostgreSQL reports this SQLSTATE. */
export function adviceFor(state: string): string {
  return ADVICE[state] ?? ADVICE[state.slice(0, 2)] ?? 'see the PostgreSQL log'
}
