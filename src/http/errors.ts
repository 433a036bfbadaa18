import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { hasCode } from '../errors.js'

/** Handles an error of a route. Callers get the message of the error only if the status is below 500. */
export function handleError(
  error: FastifyError,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const statusCode = readStatus(error)
  if (statusCode < 500) return sendError(reply, statusCode, error.message)

  logFailure(error, request, 'request failed')
  if (statusCode !== 503) {
    const message = `internal error: see the server log for the request id ${request.id}`
    return sendError(reply, statusCode, message)
  }
  reply.header('retry-after', '1')
  return sendError(reply, statusCode, 'the database is unavailable: retry later')
}

/** Logs why a request or a stream failed. */
export function logFailure(error: FastifyError, request: FastifyRequest, message: string): void {
  // The store logs each outage of the database once. Failed requests need no further line.
  const level = readStatus(error) === 503 ? 'debug' : 'error'
  // `routeOptions.url` is the pattern of the route. The URL of the request can contain a user id.
  const fields = { err: error, reqId: request.id, route: request.routeOptions.url }
  request.log[level](fields, message)
}

/** Sends the response for an unknown path. Only callers with a key get this response. */
export function handleNotFound(_request: FastifyRequest, reply: FastifyReply): FastifyReply {
  return sendError(reply, 404, 'not found: /docs lists all paths')
}

/** Sends an error in the format of Auth0's errors. */
export function sendError(reply: FastifyReply, statusCode: number, message: string): FastifyReply {
  return reply
    .code(statusCode)
    .type('application/json; charset=utf-8')
    .send({ statusCode, error: STATUS_CODES[statusCode], message })
}

function readStatus(error: FastifyError): number {
  if (hasCode(error, 'DATABASE_UNAVAILABLE')) return 503
  return error.statusCode ?? 500
}
