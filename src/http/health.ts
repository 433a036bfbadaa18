import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { singleFlight } from '../async/single-flight.js'
import { toDateTime } from '../rules/instant.js'
import type { Progress } from '../rules/progress.js'
import { toFreshness } from './freshness.js'
import { instantSchema } from './schemas.js'

/** What the health routes ask. */
export interface HealthDeps {
  readProgress(): Promise<Progress>
  /** Above this lag `/health/fresh` fails, in milliseconds. */
  maxLagMs: number
}

const aliveSchema = z.object({ status: z.literal('ok') })

const healthSchema = z.object({
  status: z.enum(['ok', 'stale', 'database_unavailable']),
  as_of: instantSchema.nullable(),
  lag_ms: z.number().int().nullable(),
  last_poll_at: instantSchema.nullable(),
})

/** `GET /health/live`, `/health/ready` and `/health/fresh`: open to everybody. */
export function healthRoutes(deps: HealthDeps): FastifyPluginAsyncZod {
  // However many ask, whom no key keeps out: the database is asked by one at a time.
  const readProgress = singleFlight(() => deps.readProgress())
  /** Stale where there is no freshness yet, too. */
  const readHealth = async () => {
    const progress = await readProgress()
    const freshness = toFreshness(progress)
    const isFresh = freshness.lag_ms !== null && freshness.lag_ms <= deps.maxLagMs
    const status = isFresh ? ('ok' as const) : ('stale' as const)
    return { status, ...freshness, last_poll_at: toDateTime(progress.lastPollAt) }
  }
  const unavailable = {
    status: 'database_unavailable' as const,
    as_of: null,
    lag_ms: null,
    last_poll_at: null,
  }
  const config = { access: 'everybody' as const }
  const security: [] = []
  const response = { 200: healthSchema, 503: healthSchema }

  return async (app) => {
    app.get(
      '/health/live',
      { config, schema: { summary: 'The process runs', security, response: { 200: aliveSchema } } },
      async () => ({ status: 'ok' as const }),
    )
    app.get(
      '/health/ready',
      { config, schema: { summary: 'The database answers', security, response } },
      async (_request, reply) => {
        const health = await readHealth().catch(() => unavailable)
        return reply.code(health.status === 'database_unavailable' ? 503 : 200).send(health)
      },
    )
    app.get(
      '/health/fresh',
      {
        config,
        schema: { summary: 'The log has been read up to MAX_LAG ago', security, response },
      },
      async (_request, reply) => {
        const health = await readHealth().catch(() => unavailable)
        return reply.code(health.status === 'ok' ? 200 : 503).send(health)
      },
    )
  }
}
