import { type ErrorOptions, LastLogoutError } from '../errors.js'

/** Returns the result of a promise, or `null` if the promise rejects with ENOENT. */
export async function nullIfMissing<T>(promise: Promise<T>): Promise<T | null> {
  try {
    return await promise
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null
    throw error
  }
}

/** Returns the `code` of a system error or of a PostgreSQL error. */
export function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}

/** Creates the error for a failed start of PostgreSQL, with the end of its output. */
export function notStartedError(
  { path, logFile }: { path: string; logFile: string },
  output: string,
): LastLogoutError {
  const end = output.trimEnd().split('\n').slice(-8).join('\n')
  const details =
    end === ''
      ? `, and wrote nothing to ${logFile}. Check that the disk is not full.`
      : `. The end of ${logFile}:\n${end}`
  return unusableError(path, `cannot be used: PostgreSQL did not start${details}`)
}

const SET_WRITABLE = 'Set a directory that this user can write to.'

/** What an operator should do, by the code of a system error. */
const REMEDIES: Record<string, string> = {
  EACCES: SET_WRITABLE,
  EPERM: SET_WRITABLE,
  EROFS: SET_WRITABLE,
  ENOSPC: 'Free disk space.',
  EDQUOT: 'Free disk space, or raise the quota of this user.',
}

/** Creates the error for a failed operation of the file system in the data directory. */
export function systemError(dataDir: string, cause: Error): LastLogoutError {
  const remedy = REMEDIES[String(codeOf(cause))] ?? 'Correct this, or set another directory.'
  return unusableError(dataDir, `cannot be used: ${cause.message}. ${remedy}`, { cause })
}

/** Creates a `DATA_DIR_UNUSABLE` error. `problem` completes "The data directory … ". */
export function unusableError(
  dataDir: string,
  problem: string,
  options?: ErrorOptions,
): LastLogoutError {
  return new LastLogoutError(
    'DATA_DIR_UNUSABLE',
    `The data directory ${dataDir} ${problem}`,
    options,
  )
}

/** Creates the error for a data directory that another server uses. */
export function inUseError({ path }: { path: string }): LastLogoutError {
  return new LastLogoutError(
    'DATA_DIR_IN_USE',
    `The data directory ${path} is in use by another instance. Stop that instance, set another DATA_DIR, or set the same DATABASE_URL for both instances.`,
  )
}
