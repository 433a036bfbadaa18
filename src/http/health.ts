import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { singleFlight } from '../async/single-flight.js'
import { toDateTime } from '../rules/instant.js'
import type { Progress } from '../rules/progress.js'
import { inGroup } from './docs.js'
import { toFreshness } from './freshness.js'
import { instantSchema } from './schemas.js'

/** Dependencies of the health routes. */
export interface HealthDeps {
  readProgress(): Promise<Progress>
  /** `/health/fresh` returns 503 above this lag, in milliseconds. The lag is the age of the data. */
  maxLagMs: number
}

const liveSchema = z.object({ status: z.literal('ok') })

const healthSchema = z.object({
  status: z.enum(['ok', 'stale', 'database_unavailable']),
  as_of: instantSchema.nullable(),
  lag_ms: z.number().int().nullable(),
  last_poll_at: instantSchema.nullable(),
})

/** `GET /health/live`, `/health/ready` and `/health/fresh`: without a key. */
export function healthRoutes(deps: HealthDeps): FastifyPluginAsyncZod {
  // These routes need no key, so concurrent requests share one query: callers cannot overload the database.
  const readProgress = singleFlight(() => deps.readProgress())
  /** Reads the freshness. If the lag is unknown, the status is `stale`. */
  const readHealth = async () => {
    const progress = await readProgress()
    const freshness = toFreshness(progress)
    const isFresh = freshness.lag_ms !== null && freshness.lag_ms <= deps.maxLagMs
    const status = isFresh ? ('ok' as const) : ('stale' as const)
    return { status, ...freshness, last_poll_at: toDateTime(progress.lastPollAt) }
  }
  const databaseUnavailable = {
    status: 'database_unavailable' as const,
    as_of: null,
    lag_ms: null,
    last_poll_at: null,
  }
  const config = { access: 'public' as const }
  const tags = inGroup('Health and metrics')
  const security: [] = []
  const response = { 200: healthSchema, 503: healthSchema }

  return async (app) => {
    app.get(
      '/health/live',
      {
        config,
        schema: {
          summary: 'Whether the process runs',
          tags,
          security,
          response: { 200: liveSchema },
        },
      },
      async () => ({ status: 'ok' as const }),
    )
    app.get(
      '/health/ready',
      {
        config,
        schema: { summary: 'Whether the database is available', tags, security, response },
      },
      async (_request, reply) => {
        const health = await readHealth().catch(() => databaseUnavailable)
        return reply.code(health.status === 'database_unavailable' ? 503 : 200).send(health)
      },
    )
    app.get(
      '/health/fresh',
      {
        config,
        schema: { summary: 'Whether the lag is at most MAX_LAG', tags, security, response },
      },
      async (_request, reply) => {
        const health = await readHealth().catch(() => databaseUnavailable)
        return reply.code(health.status === 'ok' ? 200 : 503).send(health)
      },
    )
  }
}
