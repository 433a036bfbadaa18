import pg from 'pg'
import { LastLogoutError } from '../errors.js'
import { describeTlsFailure } from '../tls.js'
import { adviceFor, isRefusedState, isUnavailableState } from './sql-state.js'
import { MIGRATION_TIMEOUT_MS, QUERY_TIMEOUT_MS } from './timeouts.js'

/** The message of the driver's error for a server without TLS. The error has no code. */
const NO_TLS = 'The server does not support SSL connections'

/** The message of the driver's error for a query without a response in time. The error has no code. */
const QUERY_TIMEOUT = 'Query read timeout'

/** What an operator should do when TLS fails. */
export const TLS_REMEDY =
  'set sslrootcert in the database URL, or NODE_EXTRA_CA_CERTS, to the file of the CA certificate, and use a host name that the certificate contains'

/**
 * Creates a `DATABASE_UNAVAILABLE` error.
 *
 * @param state The SQLSTATE of the cause. Default: the code of a `pg.DatabaseError`.
 */
export function unavailableError(
  cause: unknown,
  state: string | undefined = cause instanceof pg.DatabaseError ? cause.code : undefined,
): LastLogoutError {
  return new LastLogoutError('DATABASE_UNAVAILABLE', describe(cause, state), { cause })
}

/**
 * Creates the error for a connection that could not be opened. If TLS has failed, the error is `CONFIGURATION`, because
 * a retry would fail, too. Otherwise, the error is `DATABASE_UNAVAILABLE`.
 */
export function connectionFailure(cause: unknown): LastLogoutError {
  if (cause instanceof LastLogoutError) return cause
  const tlsFailure = describeTls(cause)
  if (tlsFailure === null) return unavailableError(cause)
  return new LastLogoutError('CONFIGURATION', tlsFailure, { cause })
}

/** Whether the error of a query on a pool means that the server is unavailable. */
export function isDriverOutage(error: unknown): boolean {
  if (error instanceof pg.DatabaseError) return isUnavailableState(error.code)
  if (!(error instanceof Error)) return false
  // Timeouts of the pool and of the driver are plain instances of `Error`. Programming errors belong to subclasses,
  // such as `TypeError`.
  if (Object.getPrototypeOf(error) === Error.prototype) return true
  // The operating system could not connect. An `AggregateError` contains one error for each address of the host.
  return 'syscall' in error || error instanceof AggregateError || describeTls(error) !== null
}

function describe(cause: unknown, state: string | undefined): string {
  if (state === undefined) {
    return (
      describeTls(cause) ??
      describeTimeout(cause) ??
      'PostgreSQL is unreachable: check that it is running, and that DATABASE_URL and, if set, DATABASE_DIRECT_URL are correct'
    )
  }
  const problem = isRefusedState(state) ? 'refused the connection' : 'is unavailable'
  return `PostgreSQL ${problem} (SQLSTATE ${state}): ${adviceFor(state)}`
}

function describeTimeout(cause: unknown): string | null {
  if (Object(cause).message !== QUERY_TIMEOUT) return null
  return `PostgreSQL did not respond to a query in time (${QUERY_TIMEOUT_MS / 1_000} s, for migrations ${MIGRATION_TIMEOUT_MS / 1_000} s): find long transactions and locks in pg_stat_activity, and check the load of the server and the network`
}

function describeTls(cause: unknown): string | null {
  const { code, message } = Object(cause)
  if (message === NO_TLS) {
    return 'PostgreSQL does not support TLS: switch ssl on in postgresql.conf, or remove sslmode from the database URL'
  }
  const failure = describeTlsFailure(code)
  if (failure === null) return null
  return `${failure} for PostgreSQL (${code}): ${TLS_REMEDY}`
}
