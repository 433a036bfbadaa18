/** The codes of all errors that this service throws. docs/errors.md describes each code. */
export type ErrorCode =
  | 'CONFIGURATION'
  | 'USAGE'
  | 'OTHER_TENANT'
  | 'DATA_DIR_IN_USE'
  | 'DATA_DIR_UNUSABLE'
  | 'DATABASE_NOT_MIGRATED'
  | 'DATABASE_UNAVAILABLE'
  | 'AUTH0_CREDENTIALS'
  | 'AUTH0_SCOPE'
  | 'AUTH0_RATE_LIMIT'
  | 'AUTH0_CHECKPOINT_REFUSED'
  | 'AUTH0_REFUSED'
  | 'AUTH0_MALFORMED_PAGE'
  | 'AUTH0_UNAVAILABLE'
  | 'KEY_SET_UNAVAILABLE'
  | 'CLOCK_AHEAD'
  | 'OTHER_ACTION'
  | 'ACTION_NOT_DEPLOYED'
  | 'LEASE_HELD'
  | 'CHECKS_FAILED'
  | 'UNHEALTHY'
  | 'CANNOT_LISTEN'
  | 'UNFINISHED'
  | 'STALLED'
  | 'NO_PROGRESS'
  | 'ABANDONED'
  | 'ABORTED'

/** Optional fields of a {@link LastLogoutError}. */
export interface ErrorOptions {
  cause?: unknown
  /** HTTP status of the response that caused the error. */
  status?: number
  /** Minimum time before a retry, in milliseconds. */
  retryAfterMs?: number
}

/**
 * The error class of this service. `message` says what failed and what to do. It contains no secret, token or claim.
 * Programs distinguish errors by `code`.
 */
export class LastLogoutError extends Error {
  override readonly name = 'LastLogoutError'
  readonly code: ErrorCode
  readonly status: number | undefined
  readonly retryAfterMs: number | undefined

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.code = code
    this.status = options.status
    this.retryAfterMs = options.retryAfterMs
  }
}

/** Whether `error` is a {@link LastLogoutError} with this code. */
export function hasCode(error: unknown, code: ErrorCode): error is LastLogoutError {
  return error instanceof LastLogoutError && error.code === code
}

/** Creates the error that an aborted operation throws. */
export function abortedError(cause?: unknown): LastLogoutError {
  return new LastLogoutError('ABORTED', 'The operation was aborted before it had finished.', {
    cause,
  })
}

const MAX_MESSAGE_LENGTH = 500
const MAX_STACK_LENGTH = 2_000

/** The fields of an error that are logged. */
export interface LoggedError {
  type: string
  message: string
  code?: unknown
  stack?: string | undefined
  cause?: LoggedError
}

/**
 * Converts an error to the fields of {@link LoggedError} for the log. All other fields are dropped, because database
 * drivers attach the connection to their errors, and the connection contains the password.
 *
 * @param depth Maximum number of nested causes. Default: 5.
 */
export function toLoggedError(error: unknown, depth = 5): LoggedError {
  if (!(error instanceof Error)) return { type: typeof error, message: String(error) }
  const { name, message, stack, cause } = error
  return {
    type: name,
    // A message can quote a complete response of Auth0.
    message: message.slice(0, MAX_MESSAGE_LENGTH),
    ...('code' in error && { code: error.code }),
    // An error of this service needs no stack: its code and its message identify it.
    ...(!(error instanceof LastLogoutError) && {
      stack: stack?.replace(message, '').slice(0, MAX_STACK_LENGTH),
    }),
    ...(cause !== undefined && depth > 0 && { cause: toLoggedError(cause, depth - 1) }),
  }
}
