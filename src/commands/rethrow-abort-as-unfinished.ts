import { hasCode, LastLogoutError } from '../errors.js'

/**
 * Rethrows an error, and converts `ABORTED` to `UNFINISHED`. A service that is stopped by a signal exits with success,
 * but a command that is stopped before it has its result must fail.
 */
export function rethrowUnfinished(error: unknown): never {
  if (!hasCode(error, 'ABORTED')) throw error
  const message = 'The command was interrupted before it had finished: run it again.'
  throw new LastLogoutError('UNFINISHED', message, { cause: error })
}
