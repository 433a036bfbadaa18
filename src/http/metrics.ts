import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'

/** Who is told what is served, and tells what was measured. */
export interface HttpMetrics {
  onServed(answer: ServedAnswer): void
  /** A caller began to follow the change feed, or no longer does. */
  onFollower(change: 1 | -1): void
  onAuthenticationFailure(reason: 'no_key' | 'unknown_key' | 'lacks_role'): void
  scrape(): Promise<{ contentType: string; text: string }>
}

/** An answer, by words that callers cannot make up. */
interface ServedAnswer {
  method: string
  /** The route's pattern. */
  route: string
  /** `null`: the caller had gone before it. */
  status: number | null
  durationMs: number
}

/** Where no route matches, method and path are whatever the caller likes. */
const NO_ROUTE = { method: 'any', route: 'none' }

/** `GET /metrics`: everything that is measured, in Prometheus' text format. */
export function metricsRoute({ scrape }: Pick<HttpMetrics, 'scrape'>): FastifyPluginAsyncZod {
  return async (app) => {
    app.get(
      '/metrics',
      {
        config: { access: 'metrics' },
        schema: {
          summary: 'Metrics, for Prometheus',
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

/** Measures every request to its end, be it that the caller is gone. */
export function measureRequests(app: FastifyInstance, metrics: HttpMetrics): void {
  app.addHook('onRequest', async (request, reply) => {
    const startedAt = performance.now()
    reply.raw.once('close', () => {
      const failure = readFailure(request, reply)
      if (failure !== null) metrics.onAuthenticationFailure(failure)
      // A stream ends when its reader has had enough: that is no latency.
      if (isEventStream(reply)) return
      const { url: route } = request.routeOptions
      metrics.onServed({
        ...(route === undefined ? NO_ROUTE : { method: request.method, route }),
        status: reply.raw.headersSent ? reply.raw.statusCode : null,
        durationMs: performance.now() - startedAt,
      })
    })
  })
  app.addHook('onSend', async (_request, reply) => {
    // Who has gone already will not be heard to go.
    if (!isEventStream(reply) || reply.raw.destroyed) return
    metrics.onFollower(1)
    reply.raw.once('close', () => metrics.onFollower(-1))
  })
}

function isEventStream(reply: FastifyReply): boolean {
  return reply.getHeader('content-type') === 'text/event-stream'
}

function readFailure({ headers }: FastifyRequest, { raw }: FastifyReply) {
  if (raw.statusCode === 403) return 'lacks_role'
  if (raw.statusCode !== 401) return null
  return headers.authorization === undefined ? 'no_key' : 'unknown_key'
}
