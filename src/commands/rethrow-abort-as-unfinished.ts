import { hasCode, LastLogoutError } from '../errors.js'

/**
 * Rethrows an error. Throws `UNFINISHED` instead of `ABORTED`: a service that is stopped by a signal exits with success,
 * but a command that is stopped before it has a result must fail.
 */
export function rethrowAbortAsUnfinished(error: unknown): never {
  if (!hasCode(error, 'ABORTED')) throw error
  const message = 'The command was interrupted before it had finished: run it again.'
  throw new LastLogoutError('UNFINISHED', message, { cause: error })
}
