import pg from 'pg'
import { LastLogoutError } from '../errors.js'
import { adviceFor, isRefusedState } from './sql-state.js'

/** The error while PostgreSQL cannot be used; `state` is the SQLSTATE of the cause, if it has one. */
export function unavailable(
  cause: unknown,
  state: string | undefined = cause instanceof pg.DatabaseError ? cause.code : undefined,
): LastLogoutError {
  return new LastLogoutError('DATABASE_UNAVAILABLE', describe(state), { cause })
}

function describe(state: string | undefined): string {
  if (state === undefined) {
    return 'PostgreSQL does not answer: check that it runs and that DATABASE_URL is right'
  }
  const what = isRefusedState(state) ? 'refuses the connection' : 'cannot be used'
  return `PostgreSQL ${what} (SQLSTATE ${state}): ${adviceFor(state)}`
}
