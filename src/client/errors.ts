/** Why the service could not be used. */
export type LastLogoutClientErrorCode =
  /** The key is unknown to the service, or lacks a role. */
  | 'UNAUTHORIZED'
  /** The service cannot be reached, or says that it cannot answer now. */
  | 'UNAVAILABLE'
  /** The response is not one of last-logout, or is about another user or session than requested. */
  | 'NOT_UNDERSTOOD'
  /** The client has been closed. */
  | 'CLOSED'

/** What goes wrong between client and service. Programs go by `code`. */
export class LastLogoutClientError extends Error {
  override readonly name = 'LastLogoutClientError'
  readonly code: LastLogoutClientErrorCode

  constructor(code: LastLogoutClientErrorCode, message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
  }
}
