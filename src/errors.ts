/** Every way this service fails by its own word. Closed: a `switch` over it is exhaustive. */
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
  | 'CLOCK_AHEAD'
  | 'OTHER_ACTION'
  | 'ACTION_NOT_DEPLOYED'
  | 'LEASE_HELD'
  | 'CHECKS_FAILED'
  | 'CANNOT_LISTEN'
  | 'UNFINISHED'
  | 'STALLED'
  | 'NO_PROGRESS'
  | 'ABANDONED'
  | 'ABORTED'

/** What the machine reading the error may need beside its message. */
export interface ErrorOptions {
  cause?: unknown
  /** HTTP status of the answer that caused it. */
  status?: number
  /** How long to wait before trying again, in milliseconds. */
  retryAfterMs?: number
}

/**
 * The one error class. The message tells the reader what to do and holds no secret, token or claim;
 * programs go by `code`.
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

/** Whether `error` is one of ours with this code. */
export function hasCode(error: unknown, code: ErrorCode): error is LastLogoutError {
  return error instanceof LastLogoutError && error.code === code
}

/** What an operation throws that was told to stop. */
export function aborted(cause?: unknown): LastLogoutError {
  return new LastLogoutError('ABORTED', 'stopped before it was done', { cause })
}

const LONGEST_MESSAGE = 500
const LONGEST_STACK = 2_000

/** What the log keeps of an error. */
export interface LoggedError {
  type: string
  message: string
  code?: unknown
  stack?: string | undefined
  cause?: LoggedError
}

/**
 * An error as it is logged: by a closed list of fields, since drivers hang whole connections on
 * theirs, passwords included.
 */
export function toLoggedError(error: unknown, depth = 5): LoggedError {
  if (!(error instanceof Error)) return { type: typeof error, message: String(error) }
  const { name, message, stack, cause } = error
  return {
    type: name,
    // An answer that somebody quotes may be as long as a page.
    message: message.slice(0, LONGEST_MESSAGE),
    ...('code' in error && { code: error.code }),
    // Ours say what to do; where in the program that is said, nobody needs.
    ...(!(error instanceof LastLogoutError) && {
      stack: stack?.replace(message, '').slice(0, LONGEST_STACK),
    }),
    ...(cause !== undefined && depth > 0 && { cause: toLoggedError(cause, depth - 1) }),
  }
}
