import pg from 'pg'
import { LastLogoutError } from '../errors.js'
import { describeTlsFailure } from '../tls.js'
import { adviceFor, isRefusedState, isUnavailableState } from './sql-state.js'

/** The message of the driver's error if the server does not support TLS. The error has no code. */
const NO_TLS = 'The server does not support SSL connections'

/** What to do when TLS fails. */
export const TLS_REMEDY =
  'set sslrootcert in the database URL, or NODE_EXTRA_CA_CERTS, to the file of the CA certificate, and use a host name that the certificate contains'

/**
 * Creates a `DATABASE_UNAVAILABLE` error.
 *
 * @param state SQLSTATE of the cause. Default: the code of the cause if it is a `pg.DatabaseError`.
 */
export function unavailableError(
  cause: unknown,
  state: string | undefined = cause instanceof pg.DatabaseError ? cause.code : undefined,
): LastLogoutError {
  return new LastLogoutError('DATABASE_UNAVAILABLE', describe(cause, state), { cause })
}

/**
 * Creates the error for a connection that could not be opened: `CONFIGURATION` if TLS has failed, which no retry
 * resolves, and otherwise `DATABASE_UNAVAILABLE`.
 */
export function connectionFailure(cause: unknown): LastLogoutError {
  if (cause instanceof LastLogoutError) return cause
  const tlsFailure = describeTls(cause)
  if (tlsFailure === null) return unavailableError(cause)
  return new LastLogoutError('CONFIGURATION', tlsFailure, { cause })
}

/** Whether an error of a query on a pool means that the server cannot be used. */
export function isDriverOutage(error: unknown): boolean {
  if (error instanceof pg.DatabaseError) return isUnavailableState(error.code)
  if (!(error instanceof Error)) return false
  // Timeouts of the pool and of the driver are instances of `Error` itself. Programming errors are instances of a
  // subclass, such as `TypeError`.
  if (Object.getPrototypeOf(error) === Error.prototype) return true
  // Failures of the system to connect. An aggregate contains one for each address of the host.
  return 'syscall' in error || error instanceof AggregateError || describeTls(error) !== null
}

function describe(cause: unknown, state: string | undefined): string {
  if (state === undefined) {
    return (
      describeTls(cause) ??
      'PostgreSQL is unreachable: check that it is running and that DATABASE_URL is correct'
    )
  }
  const problem = isRefusedState(state) ? 'refused the connection' : 'is unavailable'
  return `PostgreSQL ${problem} (SQLSTATE ${state}): ${adviceFor(state)}`
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
