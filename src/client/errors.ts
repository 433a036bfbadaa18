/** Why a `LastLogoutClientError` was reported. */
export type LastLogoutClientErrorCode =
  /** The service rejected the API key (401), or the key lacks a role (403). */
  | 'UNAUTHORIZED'
  /** The service cannot be reached, did not respond in time, or responded with 429 or 5xx. */
  | 'UNAVAILABLE'
  /** A response or an event is malformed, or is about another user or session than requested. */
  | 'NOT_UNDERSTOOD'
  /** The data is older than `maxStalenessMs`: checks return `unknown`. */
  | 'STALE'
  /** A claim is missing or unreadable. The application has probably changed the claims before the check. */
  | 'UNREADABLE_CLAIM'
  /** The client is closed. */
  | 'CLOSED'

/**
 * An error of the connection to the service, or of the claims of a token. Programs distinguish errors by `code`. The
 * message contains no key, token or claim value.
 */
export class LastLogoutClientError extends Error {
  override readonly name = 'LastLogoutClientError'
  readonly code: LastLogoutClientErrorCode
  /** `Retry-After` of the response, in milliseconds; `undefined`: the response has no such header. */
  readonly retryAfterMs: number | undefined

  constructor(
    code: LastLogoutClientErrorCode,
    message: string,
    cause?: unknown,
    retryAfterMs?: number,
  ) {
    super(message, { cause })
    this.code = code
    this.retryAfterMs = retryAfterMs
  }
}

/** Creates the error of a call on a closed client. */
export function closedError(): LastLogoutClientError {
  return new LastLogoutClientError('CLOSED', 'the client is closed')
}

/** Creates the error of an invalid response. */
export function invalidResponse(message: string): LastLogoutClientError {
  return new LastLogoutClientError('NOT_UNDERSTOOD', message)
}

/**
 * Creates the error of an invalid event of the change feed.
 *
 * @param problem The first part of the message. It must not contain the data of the event, which contains user ids.
 */
export function invalidEvent(problem: string): LastLogoutClientError {
  return invalidResponse(
    `${problem}: check that no proxy changes the responses of last-logout; connecting again`,
  )
}

/** Creates the error of an event of the change feed in which a field is missing or malformed. */
export function malformedField(field: string): LastLogoutClientError {
  return invalidEvent(
    `the change feed sent an event in which the field ${field} is missing or malformed`,
  )
}
