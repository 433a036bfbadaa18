import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import {
  jsonSchemaTransform,
  serializerCompiler,
  validatorCompiler,
} from 'fastify-type-provider-zod'
import type { ApiKey } from '../config/api-keys.js'
import { requireKeys } from './auth.js'
import { type ChangesDeps, changesRoute } from './changes.js'
import { checkRoute } from './check.js'
import { handleError, handleNotFound, sendError } from './errors.js'
import { PAGE_POLICY, secureAnswers, secureEarlyAnswer } from './headers.js'
import { type HealthDeps, healthRoutes } from './health.js'
import { lastLogoutRoutes } from './last-logout.js'
import { LIMITS, type Limits, MAX_CONNECTIONS } from './limits.js'
import { type LogStream, logStreamRoute } from './log-stream.js'
import { type HttpMetrics, measureRequests, metricsRoute } from './metrics.js'
import { type ReportDeps, reportRoutes } from './report.js'

/** What the app is built from. */
export interface AppDeps extends ReportDeps, ChangesDeps, MonitorDeps {
  version: string
  /** Without it there is no route for one. */
  logStream?: LogStream | undefined
}

/** What a worker that runs alone is watched with. */
export interface MonitorDeps extends HealthDeps {
  apiKeys: readonly ApiKey[]
  /** Addresses and networks whose word is taken on where a request comes from. */
  trustProxy?: string[] | undefined
  log: FastifyBaseLogger
  /** Without it, nothing is measured. */
  metrics?: HttpMetrics
  /** Default: {@link LIMITS}. */
  limits?: Limits
}

/** What has not ended this long after closing began is cut off, such as connections that were never used; in milliseconds. */
const CLOSING_PATIENCE_MS = 2_000

/** The read API. Does not listen. */
export async function buildApp(deps: AppDeps): Promise<FastifyInstance> {
  const { logStream } = deps
  const app = await createApp(deps, logStream?.token)
  await describe(app, deps)
  await app.register(lastLogoutRoutes(deps))
  await app.register(checkRoute(deps))
  await app.register(changesRoute(deps))
  await app.register(reportRoutes(deps))
  if (logStream) await app.register(logStreamRoute(logStream))
  return watch(app, deps)
}

/** Health and metrics alone. Does not listen. */
export async function buildMonitor(deps: MonitorDeps): Promise<FastifyInstance> {
  return watch(await createApp(deps), deps)
}

async function watch(app: FastifyInstance, deps: MonitorDeps): Promise<FastifyInstance> {
  await app.register(healthRoutes(deps))
  if (deps.metrics) await app.register(metricsRoute(deps.metrics))
  return app
}

async function createApp(deps: MonitorDeps, logStreamToken?: string): Promise<FastifyInstance> {
  const app = Fastify({
    loggerInstance: deps.log,
    // A request line names a user.
    logController: new LogController({ disableRequestLogging: true }),
    frameworkErrors: (error, _request, reply) =>
      void sendError(secureEarlyAnswer(reply), 400, error.message),
    trustProxy: deps.trustProxy ?? false,
    ...(deps.limits ?? LIMITS),
  })
  app.server.maxConnections = MAX_CONNECTIONS
  // Everything that is sent here is JSON.
  app.removeContentTypeParser('text/plain')
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  app.setErrorHandler(handleError)
  app.setNotFoundHandler(handleNotFound)
  app.addHook('preClose', async () => {
    setTimeout(() => app.server.closeAllConnections(), CLOSING_PATIENCE_MS).unref()
  })
  await secureAnswers(app)
  // Before the keys: who is turned away is measured too.
  if (deps.metrics) measureRequests(app, deps.metrics)
  await requireKeys(app, { apiKeys: deps.apiKeys, logStreamToken })
  return app
}

async function describe(
  app: FastifyInstance,
  { version, logStream }: Pick<AppDeps, 'version' | 'logStream'>,
): Promise<void> {
  const token = { type: 'apiKey', in: 'header', name: 'authorization' } as const
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'last-logout', version, description: 'Last logouts of an Auth0 tenant.' },
      components: {
        securitySchemes: {
          key: { type: 'http', scheme: 'bearer' },
          ...(logStream && { log_stream: token }),
        },
      },
      security: [{ key: [] }],
    },
    transform: jsonSchemaTransform,
  })
  await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: PAGE_POLICY })
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger())
}
