import type { FastifyPluginAsync } from 'fastify'
import { z } from 'zod'
import { handleError, sendError } from './errors.js'
import { errorResponses } from './schemas.js'

/** What a log stream is taken in by. */
export interface LogStream {
  /** What Auth0 sends in `Authorization`. */
  token: string
  /** Stores the body's entries, and resolves when that is committed. */
  receive(body: string): Promise<void>
}

/**
 * How many entries Auth0 sends at once is not documented. One takes some kilobytes, rarely tens: a
 * hundred of the largest fit.
 */
const BODY_LIMIT = 10 * 1024 * 1024

/** `POST /v1/log-stream`: where an Auth0 log stream of the kind "custom webhook" sends to. */
export function logStreamRoute({ receive }: LogStream): FastifyPluginAsync {
  return async (app) => {
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
            413: errorResponses[400].describe('The body is too long'),
            415: errorResponses[400].describe('The body is compressed'),
          },
        },
        onRequest: async ({ headers }, reply) => {
          if (/^(identity)?$/i.test(headers['content-encoding'] ?? '')) return
          return sendError(reply, 415, 'a compressed body is not understood: send it as it is')
        },
        errorHandler(error, request, reply) {
          // Auth0 gives it up after some attempts, and whoever runs the tenant sees no more than that.
          if (error.statusCode === 413) {
            request.log.warn({ limit: BODY_LIMIT }, 'log stream batch too long: left to polling')
          }
          return handleError(error, request, reply)
        },
      },
      async ({ body = '' }, reply) => {
        await receive(body)
        return reply.code(204).send()
      },
    )
  }
}
