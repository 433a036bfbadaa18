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
  return unusableError(
    path,
    `cannot be used: PostgreSQL did not start. The end of ${logFile}:\n${end}`,
  )
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
