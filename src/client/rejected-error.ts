import type { Refusal } from './refusal.js'

/**
 * The error that refuses a request. The error handler of the app receives this error. The default error handlers of
 * Express and Fastify use `status` or `statusCode`, and `headers`.
 */
export class RejectedError extends Error {
  /** For a revoked token, the same name as that of the errors of `express-jwt`. */
  override readonly name: string
  readonly code: string
  readonly status: number
  readonly statusCode: number
  readonly headers: Record<string, string>

  /** @param code Default: the error code of the response, such as `invalid_token`. */
  constructor({ status, headers, body }: Refusal, code: string = body.error) {
    super(body.error_description)
    this.name = status === 401 ? 'UnauthorizedError' : 'LastLogoutUnknownError'
    this.code = code
    this.status = status
    this.statusCode = status
    this.headers = headers
  }
}
