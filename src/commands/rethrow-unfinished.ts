import { hasCode, LastLogoutError } from '../errors.js'

/**
 * Rethrows an error, with `ABORTED` as `UNFINISHED`. A service that is stopped succeeds. A command that
 * is stopped before it has its result fails.
 */
export function rethrowUnfinished(error: unknown): never {
  if (!hasCode(error, 'ABORTED')) throw error
  const message = 'The command was interrupted before it had finished: run it again.'
  throw new LastLogoutError('UNFINISHED', message, { cause: error })
}
