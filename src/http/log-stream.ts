import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { throttle } from '../async/throttle.js'
import { hasCode } from '../errors.js'
import { inGroup } from './docs.js'
import { handleError, sendError } from './errors.js'
import { errorResponses } from './schemas.js'
import { createSerialQueue } from './serial-queue.js'
import { acceptText } from './text-body.js'

type ReceiveOutcome = 'stored' | 'too many'

/** Receives the entries of an Auth0 log stream: Auth0 sends log entries to a webhook. */
export interface LogStream {
  /** The value of `Authorization` that is configured in Auth0. */
  token: string
  /**
   * Stores the entries of a body. Resolves with `stored` after the commit, or with `too many` if the body has more
   * entries than allowed.
   *
   * @throws `ABORTED` when `signal` aborts.
   */
  receive(body: string, signal: AbortSignal): Promise<ReceiveOutcome>
}

/**
 * Maximum size of a body. Auth0 does not document the number of entries in a body. An entry takes at most tens of
 * kilobytes, so a body of this size can contain at least a hundred entries.
 */
const MAX_BODY_BYTES = 10 * 1024 * 1024

/** Minimum interval between two log lines about compressed bodies, in milliseconds. */
const LOG_INTERVAL_MS = 60_000

/** `POST /v1/log-stream`: the target of an Auth0 log stream of the type "Custom Webhook". */
export function logStreamRoute({ receive }: LogStream): FastifyPluginAsync {
  return async (app) => {
    const queue = createSerialQueue<ReceiveOutcome>()
    app.addHook('preClose', async () => queue.close())
    const warnCompressed = throttle(LOG_INTERVAL_MS, () =>
      app.log.warn('log stream batch compressed, polling reads its entries'),
    )
    // Auth0 sends the content type that the owner of the stream has entered, also for JSON lines. So the media type does
    // not determine the format.
    acceptText(app)
    app.post<{ Body: string | undefined }>(
      '/v1/log-stream',
      {
        bodyLimit: MAX_BODY_BYTES,
        config: { access: 'log stream' },
        schema: {
          summary: 'Receives entries of an Auth0 log stream, before polling reads them',
          tags: inGroup('Log stream'),
          description:
            'JSON lines, a JSON array or one object. The response is 204 after the entries are stored. Lines that cannot be parsed are stored as unattributable.',
          security: [{ log_stream: [] }],
          response: {
            204: z.null().describe('Stored'),
            ...errorResponses,
            413: errorResponses[400].describe('The body is too large or has too many entries'),
            415: errorResponses[400].describe('The body is compressed'),
          },
        },
        onRequest: async ({ headers }, reply) => {
          if (!/^(identity)?$/i.test(headers['content-encoding'] ?? '')) {
            warnCompressed()
            return sendError(reply, 415, 'the body is compressed: send it without Content-Encoding')
          }
          if (!queue.reserve(reply)) return sendBusy(reply)
        },
        errorHandler(error, request, reply) {
          if (error.statusCode === 413) return sendTooLarge(request, reply)
          // Auth0 has disconnected, or the service stops. Auth0 will send the body again.
          if (hasCode(error, 'ABORTED')) return sendBusy(reply)
          return handleError(error, request, reply)
        },
      },
      async (request, reply) => {
        const { body = '' } = request
        const outcome = await queue.run(reply, (signal) => receive(body, signal))
        if (outcome === 'too many') return sendTooLarge(request, reply)
        return reply.code(204).send()
      },
    )
  }
}

/** Sends a 503. Auth0 will send the body again. */
function sendBusy(reply: FastifyReply): FastifyReply {
  reply.header('retry-after', '1')
  return sendError(reply, 503, 'other batches are being stored, or the service stops: retry later')
}

/** Sends a 413 and logs a warning. Auth0 drops the body after some attempts, and its dashboard names no reason. */
function sendTooLarge(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  request.log.warn('log stream batch too large, polling reads its entries')
  return sendError(
    reply,
    413,
    'the body is too large or has too many entries: send smaller batches',
  )
}
