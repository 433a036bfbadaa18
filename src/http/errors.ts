import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { hasCode } from '../errors.js'

/**
 * Answers for every failure. Below 500 the caller is told what is wrong; from 500 on only that
 * something is, and the log has the rest.
 */
export function handleError(
  error: FastifyError,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const statusCode = readStatus(error)
  if (statusCode < 500) return sendError(reply, statusCode, error.message)

  // A database that is away is said once, by the store, and not by every request.
  const level = statusCode === 503 ? 'debug' : 'error'
  // The route's pattern, not the URL: that names a user.
  request.log[level]({ err: error, route: request.routeOptions.url }, 'request failed')
  if (statusCode !== 503) return sendError(reply, statusCode, 'this is our fault: see the log')
  reply.header('retry-after', '1')
  return sendError(reply, statusCode, 'the database does not answer: try again')
}

/** Answers for paths that do not exist, to callers with a key. */
export function handleNotFound(_request: FastifyRequest, reply: FastifyReply): FastifyReply {
  return sendError(reply, 404, 'there is no such path: see /docs')
}

/** Answers in the shape of Auth0's own errors. */
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
