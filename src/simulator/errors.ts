import { STATUS_CODES } from 'node:http'

/** The body of an error response of the Management API. */
export interface ErrorBody {
  statusCode: number
  error: string
  message: string
  errorCode?: string
  attributes?: { error: string }
}

/** The error of a request. The simulator responds with {@link ApiError.body}. */
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

/** Creates the error of status 401 for a request without a valid bearer token. */
export function unauthorized(message: string): ApiError {
  return new ApiError(401, message, { attributes: { error: message } })
}

/** Creates the error of status 403 for a token without the scope. */
export function insufficientScope(scope: string): ApiError {
  const message = `Insufficient scope, expected any of: ${scope}`
  return new ApiError(403, message, { errorCode: 'insufficient_scope' })
}

/** Creates the error of status 429 for a request above the tenant's rate limit. */
export function tooManyRequests(): ApiError {
  const message = 'Global limit has been reached'
  return new ApiError(429, message, { errorCode: 'too_many_requests' })
}

/** Creates the error of status 400 for a query parameter that is invalid or not simulated. */
export function invalidQuery(message: string): ApiError {
  return new ApiError(400, `Query validation error: ${message}`, {
    errorCode: 'invalid_query_string',
  })
}
