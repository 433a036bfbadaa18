import pg from 'pg'
import { LastLogoutError } from '../errors.js'
import { adviceFor, isRefusedState } from './sql-state.js'

/**
 * Creates a `DATABASE_UNAVAILABLE` error.
 *
 * @param state SQLSTATE of the cause, if it has one. Default: that of a `pg.DatabaseError`.
 */
export function unavailable(
  cause: unknown,
  state: string | undefined = cause instanceof pg.DatabaseError ? cause.code : undefined,
): LastLogoutError {
  return new LastLogoutError('DATABASE_UNAVAILABLE', describe(state), { cause })
}

function describe(state: string | undefined): string {
  if (state === undefined) {
    return 'PostgreSQL is unreachable: check that it is running and that DATABASE_URL is correct'
  }
  const problem = isRefusedState(state) ? 'refused the connection' : 'is unavailable'
  return `PostgreSQL ${problem} (SQLSTATE ${state}): ${adviceFor(state)}`
}
