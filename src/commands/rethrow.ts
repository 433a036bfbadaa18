import { hasCode, LastLogoutError } from '../errors.js'

/**
 * A service that is stopped has done its work; a deployment has not, nor has a question been answered:
 * for them, `ABORTED` becomes a failure.
 */
export function rethrow(error: unknown): never {
  if (!hasCode(error, 'ABORTED')) throw error
  const message = 'stopped before the end: run this again'
  throw new LastLogoutError('UNFINISHED', message, { cause: error })
}
