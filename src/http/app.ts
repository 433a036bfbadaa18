import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import {
  jsonSchemaTransform,
  serializerCompiler,
  validatorCompiler,
} from 'fastify-type-provider-zod'
import type { ApiKey } from '../config-values.js'
import { MAX_ID_LENGTH } from '../rules/id.js'
import { requireKeys } from './auth.js'
import { type ChangesDeps, changesRoute } from './changes.js'
import { checkRoute } from './check.js'
import { handleError, handleNotFound, sendError } from './errors.js'
import { type HealthDeps, healthRoutes } from './health.js'
import { lastLogoutRoute } from './last-logout.js'
import { type HttpMetrics, measureRequests, metricsRoute } from './metrics.js'
import { type ReportDeps, reportRoute } from './report.js'

/** What the app is built from. */
export interface AppDeps extends ReportDeps, ChangesDeps, MonitorDeps {
  version: string
}

/** What a worker that runs alone is watched with. */
export interface MonitorDeps extends HealthDeps {
  apiKeys: readonly ApiKey[]
  log: FastifyBaseLogger
  /** Without it, nothing is measured. */
  metrics?: HttpMetrics
}

/** An access token's claims stay far below; Auth0 allows 100 KB of them. */
const BODY_LIMIT = 256 * 1024

/** Slow and idle callers are not allowed to hold a connection open. */
const TIMEOUTS = { connectionTimeout: 30_000, requestTimeout: 10_000, keepAliveTimeout: 65_000 }

/** What has not ended this long after closing began is cut off, such as connections that were never used; in milliseconds. */
const CLOSING_PATIENCE_MS = 2_000

/** Every character may be percent-encoded, over up to four bytes. */
const MAX_PARAM_LENGTH = MAX_ID_LENGTH * 12

/** The read API. Does not listen. */
export async function buildApp(deps: AppDeps): Promise<FastifyInstance> {
  const app = createApp(deps)
  await describe(app, deps.version)
  await app.register(lastLogoutRoute(deps))
  await app.register(checkRoute(deps))
  await app.register(changesRoute(deps))
  await app.register(reportRoute(deps))
  return watch(app, deps)
}

/** Health and metrics alone. Does not listen. */
export async function buildMonitor(deps: MonitorDeps): Promise<FastifyInstance> {
  return watch(createApp(deps), deps)
}

async function watch(app: FastifyInstance, deps: MonitorDeps): Promise<FastifyInstance> {
  await app.register(healthRoutes(deps))
  if (deps.metrics) await app.register(metricsRoute(deps.metrics))
  return app
}

function createApp(deps: MonitorDeps): FastifyInstance {
  const app = Fastify({
    loggerInstance: deps.log,
    // A request line names a user.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: BODY_LIMIT,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    frameworkErrors: (error, _request, reply) => void sendError(reply, 400, error.message),
    ...TIMEOUTS,
  })
  // Everything that is sent here is JSON.
  app.removeContentTypeParser('text/plain')
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  app.setErrorHandler(handleError)
  app.setNotFoundHandler(handleNotFound)
  app.addHook('preClose', async () => {
    setTimeout(() => app.server.closeAllConnections(), CLOSING_PATIENCE_MS).unref()
  })
  // Before the keys: who is turned away is measured too.
  if (deps.metrics) measureRequests(app, deps.metrics)
  requireKeys(app, deps.apiKeys)
  return app
}

async function describe(app: FastifyInstance, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'last-logout', version, description: 'Last logouts of an Auth0 tenant.' },
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
      security: [{ key: [] }],
    },
    transform: jsonSchemaTransform,
  })
  await app.register(swaggerUi, { routePrefix: '/docs' })
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger())
}
