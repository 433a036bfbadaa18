/** SQLSTATE classes that say the server cannot be used now, whatever the query was. */
const UNAVAILABLE_CLASSES = new Set(['08', '28', '3D', '53', '57'])

/**
 * SQLSTATEs that say so of the connection: read_only_sql_transaction, as of a server that was demoted
 * or is not promoted yet, and idle_in_transaction_session_timeout, by which it was ended.
 */
const UNAVAILABLE_STATES = new Set(['25006', '25P03'])

/** Classes of refusals that waiting does not change: of the credentials, and of the database's name. */
const REFUSED_CLASSES = new Set(['28', '3D'])

/** Whether a query with this SQLSTATE may pass at another time, or on another connection. */
export function isUnavailableState(state: string | undefined): boolean {
  return (
    state !== undefined &&
    (UNAVAILABLE_CLASSES.has(state.slice(0, 2)) || UNAVAILABLE_STATES.has(state))
  )
}

/** Whether a SQLSTATE says that it is the configuration which is wrong. */
export function isRefusedState(state: string): boolean {
  return REFUSED_CLASSES.has(state.slice(0, 2))
}

/** What to look at, by SQLSTATE, or else by its class. */
const ADVICE: Record<string, string> = {
  '28': 'check the user and the password in DATABASE_URL',
  '3D': 'check the name of the database in DATABASE_URL',
  '25006': 'it takes no writes; lead DATABASE_URL to the primary',
  '53100': 'its disk is full; make room',
  '53200': 'it is out of memory',
  '53300': 'it has no connection left; close others, or raise max_connections',
  '57014': 'it cancelled a query; look at its statement_timeout, and at what keeps it busy',
}

/** What to do about a server that cannot be used for this reason. */
export function adviceFor(state: string): string {
  return ADVICE[state] ?? ADVICE[state.slice(0, 2)] ?? 'see its log'
}
