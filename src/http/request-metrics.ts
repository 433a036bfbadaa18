import type { FastifyInstance, FastifyReply } from 'fastify'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import type { ApiMetrics } from '../measurements.js'
import { inGroup } from './docs.js'
import { EVENT_STREAM } from './event-stream.js'

/** Receives the measurements of the API, and exposes all metrics. */
export interface HttpMetrics extends ApiMetrics {
  scrape(): Promise<{ contentType: string; text: string }>
}

/** Labels of a request to an unknown path. The caller chooses method and path, so they must not become labels. */
const NO_ROUTE = { method: 'any', route: 'none' }

/** `GET /metrics`: all metrics in the text format of Prometheus. */
export function metricsRoute({ scrape }: Pick<HttpMetrics, 'scrape'>): FastifyPluginAsyncZod {
  return async (app) => {
    app.get(
      '/metrics',
      {
        config: { access: 'metrics' },
        schema: {
          summary: 'Metrics for Prometheus',
          tags: inGroup('Health and metrics'),
          produces: ['text/plain'],
          response: { 200: z.string() },
        },
      },
      async (_request, reply) => {
        const { contentType, text } = await scrape()
        return reply.type(contentType).send(text)
      },
    )
  }
}

/** Measures every request until its response has been written or its connection has been closed. */
export function measureRequests(app: FastifyInstance, metrics: HttpMetrics): void {
  app.addHook('onRequest', (request, reply, done) => {
    const startedAt = performance.now()
    // Node.js emits `close` once.
    reply.raw.on('close', () => {
      if (request.authFailure !== null) metrics.onFailedAuthentication(request.authFailure)
      // The duration of a stream is not a latency.
      if (isEventStream(reply)) return
      // The spread syntax `...NO_ROUTE` would take longer than the rest of this function.
      const { url: route } = request.routeOptions
      metrics.onResponse({
        method: route === undefined ? NO_ROUTE.method : request.method,
        route: route ?? NO_ROUTE.route,
        status: reply.raw.headersSent ? reply.raw.statusCode : null,
        durationMs: performance.now() - startedAt,
      })
    })
    done()
  })
}

function isEventStream(reply: FastifyReply): boolean {
  return reply.getHeader('content-type') === EVENT_STREAM
}
