import { hasCode, LastLogoutError } from '../errors.js'

/**
 * Rethrows an error, but throws `UNFINISHED` instead of `ABORTED`. With `ABORTED`, the process would exit with success.
 * That exit code is correct for a service that was stopped, but not for a command that has no result yet.
 */
export function rethrowAbortAsUnfinished(error: unknown): never {
  if (!hasCode(error, 'ABORTED')) throw error
  const message = 'The command was interrupted before it had finished: run it again.'
  throw new LastLogoutError('UNFINISHED', message, { cause: error })
}
