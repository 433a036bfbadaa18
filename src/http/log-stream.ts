import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { hasCode } from '../errors.js'
import { handleError, sendError } from './errors.js'
import { createIntake } from './intake.js'
import { errorResponses } from './schemas.js'

type Received = 'stored' | 'too many'

/** What a log stream is taken in by. */
export interface LogStream {
  /** What Auth0 sends in `Authorization`. */
  token: string
  /**
   * Stores the body's entries, and resolves when that is committed, or once there are too many of
   * them. Throws `ABORTED` when told to stop.
   */
  receive(body: string, signal: AbortSignal): Promise<Received>
}

/**
 * How many entries Auth0 sends at once is not documented. One takes some kilobytes, rarely tens: a
 * hundred of the largest fit.
 */
const BODY_LIMIT = 10 * 1024 * 1024

/** `POST /v1/log-stream`: where an Auth0 log stream of the kind "custom webhook" sends to. */
export function logStreamRoute({ receive }: LogStream): FastifyPluginAsync {
  return async (app) => {
    const intake = createIntake<Received>()
    app.addHook('preClose', () => intake.close())
    // Auth0 calls JSON lines `application/json` too: the body tells what it is.
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body))
    app.post<{ Body: string | undefined }>(
      '/v1/log-stream',
      {
        bodyLimit: BODY_LIMIT,
        config: { access: 'log stream' },
        schema: {
          summary: 'Takes in what a log stream of Auth0 sends, so that it counts earlier',
          description:
            'JSON lines, a JSON array or one object. 204 once it is stored; lines that cannot be read are kept and counted as unattributable.',
          security: [{ log_stream: [] }],
          response: {
            204: z.null().describe('Stored'),
            ...errorResponses,
            413: errorResponses[400].describe('The body is too long, or has too many entries'),
            415: errorResponses[400].describe('The body is compressed'),
          },
        },
        onRequest: async ({ headers }, reply) => {
          if (!/^(identity)?$/i.test(headers['content-encoding'] ?? '')) {
            return sendError(reply, 415, 'a compressed body is not understood: send it as it is')
          }
          if (!intake.enter(reply)) return sendLater(reply)
        },
        errorHandler(error, request, reply) {
          if (error.statusCode === 413) return sendTooLong(request, reply)
          // Nobody waits for the answer, or it is the next process that will take the body.
          if (hasCode(error, 'ABORTED')) return sendLater(reply)
          return handleError(error, request, reply)
        },
      },
      async (request, reply) => {
        const { body = '' } = request
        const received = await intake.take(reply, (signal) => receive(body, signal))
        if (received === 'too many') return sendTooLong(request, reply)
        return reply.code(204).send()
      },
    )
  }
}

/** Auth0 sends again what was not taken. */
function sendLater(reply: FastifyReply): FastifyReply {
  reply.header('retry-after', '1')
  return sendError(reply, 503, 'others are being stored, or the service stops: send it again')
}

/** Auth0 gives it up after some attempts, and whoever runs the tenant sees no more than that. */
function sendTooLong(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  request.log.warn('log stream batch too long: left to polling')
  return sendError(reply, 413, 'the body is too long, or has too many entries: send fewer at once')
}
