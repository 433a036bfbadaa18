import { STATUS_CODES } from 'node:http'

/** An error as the Management API tells it. */
export interface ErrorBody {
  statusCode: number
  error: string
  message: string
  errorCode?: string
  attributes?: { error: string }
}

/** Thrown to be answered with {@link ApiError.body}. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly body: ErrorBody

  constructor(
    status: number,
    message: string,
    more: Pick<ErrorBody, 'errorCode' | 'attributes'> = {},
  ) {
    super(message)
    this.body = { statusCode: status, error: STATUS_CODES[status] ?? '', message, ...more }
  }
}

/** No valid bearer token. */
export function unauthorized(message: string): ApiError {
  return new ApiError(401, message, { attributes: { error: message } })
}

/** The token is valid, but lacks the scope. */
export function insufficientScope(scope: string): ApiError {
  const message = `Insufficient scope, expected any of: ${scope}`
  return new ApiError(403, message, { errorCode: 'insufficient_scope' })
}

/** The tenant's bucket is empty. */
export function tooManyRequests(): ApiError {
  const message = 'Global limit has been reached'
  return new ApiError(429, message, { errorCode: 'too_many_requests' })
}

/** A query parameter that Auth0 refuses, or that the simulator does not know. */
export function invalidQuery(message: string): ApiError {
  return new ApiError(400, `Query validation error: ${message}`, {
    errorCode: 'invalid_query_string',
  })
}
