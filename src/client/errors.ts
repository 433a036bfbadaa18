/** What a `LastLogoutClientError` is about. */
export type LastLogoutClientErrorCode =
  /** The key is unknown to the service, or lacks a role. */
  | 'UNAUTHORIZED'
  /** The service cannot be reached, or says that it cannot answer now. */
  | 'UNAVAILABLE'
  /** The response is not one of last-logout, or is about another user or session than requested. */
  | 'NOT_UNDERSTOOD'
  /** A claim that a check needs is missing or cannot be read: the claims are not the token's own. */
  | 'UNREADABLE_CLAIM'
  /** The client has been closed. */
  | 'CLOSED'

/** An error between client and service, or in the claims to check. Programs go by `code`. */
export class LastLogoutClientError extends Error {
  override readonly name = 'LastLogoutClientError'
  readonly code: LastLogoutClientErrorCode

  constructor(code: LastLogoutClientErrorCode, message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
  }
}
