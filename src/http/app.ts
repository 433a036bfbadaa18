import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import { validatorCompiler } from 'fastify-type-provider-zod'
import type { ApiKey } from '../config/api-keys.js'
import type { TokenVerifier } from '../rules/verification.js'
import { requireKeys } from './auth.js'
import { type ChangesDeps, changesRoute } from './changes.js'
import { checkRoute } from './check.js'
import { type ConsoleDeps, consoleRoutes } from './console.js'
import { serveDocs } from './docs.js'
import { handleError, handleNotFound, sendError } from './errors.js'
import { forwardAuthRoutes } from './forward-auth.js'
import { type HealthDeps, healthRoutes } from './health.js'
import { introspectRoute } from './introspect.js'
import { lastLogoutRoutes } from './last-logout.js'
import { HTTP_LIMITS, type HttpLimits, MAX_CONNECTIONS } from './limits.js'
import { type LogStream, logStreamRoute } from './log-stream.js'
import { logoutRoutes } from './logout.js'
import { type ReportDeps, reportRoutes } from './report.js'
import { type HttpMetrics, measureRequests, metricsRoute } from './request-metrics.js'
import { secureEarlyResponse, secureResponses } from './security-headers.js'
import { createSerializerCompiler } from './serializer.js'
import { createHttpServer } from './server.js'

/** Dependencies of the API. */
export interface AppDeps extends ReportDeps, ChangesDeps, MonitorDeps {
  version: string
  /** Undefined: the API has no route for the log stream. */
  logStream?: LogStream | undefined
  /** Undefined: the API has no console. */
  readConsoleState?: ConsoleDeps['readConsoleState'] | undefined
  /** Undefined: the API has no routes that verify tokens. */
  verifier?: TokenVerifier | undefined
  /** The issuers to which `/logout` redirects. Undefined: the API has no `/logout`. */
  logoutIssuers?: readonly string[] | undefined
  /** Timeout of the steps of `/logout`, in milliseconds. Default: 1,000. */
  logoutTimeoutMs?: number
}

/** Dependencies of the routes for health and metrics. A worker without an API serves only these routes. */
export interface MonitorDeps extends HealthDeps {
  apiKeys: readonly ApiKey[]
  /** Addresses and networks of proxies whose `X-Forwarded-For` is trusted. Default: none. */
  trustProxy?: string[] | undefined
  log: FastifyBaseLogger
  /** Undefined: the API measures nothing, and has no `/metrics`. */
  metrics?: HttpMetrics
  /** Default: {@link HTTP_LIMITS}. */
  limits?: HttpLimits
  /** Maximum number of open connections. Default: {@link MAX_CONNECTIONS}. */
  maxConnections?: number
}

/** How long a closing app waits before it destroys open connections, in milliseconds. */
const CLOSE_GRACE_MS = 2_000

/** Builds the API. Does not listen yet. */
export async function buildApp(deps: AppDeps): Promise<FastifyInstance> {
  const { logStream, readConsoleState } = deps
  const app = await createApp(deps, logStream?.token)
  await serveDocs(app, {
    version: deps.version,
    hasLogStream: logStream !== undefined,
    hasGateways: deps.verifier !== undefined,
    hasLogout: deps.logoutIssuers !== undefined,
  })
  await app.register(lastLogoutRoutes(deps))
  await app.register(checkRoute(deps))
  let subscribers = 0
  const onSubscriber = (change: 1 | -1) => {
    subscribers += change
    deps.metrics?.onSubscriber(change)
  }
  await app.register(changesRoute({ ...deps, onSubscriber }))
  await app.register(reportRoutes(deps))
  if (readConsoleState) {
    const countSubscribers = () => subscribers
    await app.register(consoleRoutes({ ...deps, readConsoleState, countSubscribers }))
  }
  if (logStream) await app.register(logStreamRoute(logStream))
  await addTokenRoutes(app, deps)
  return addMonitoring(app, deps)
}

/** Adds the routes that verify the tokens of users. */
async function addTokenRoutes(
  app: FastifyInstance,
  { verifier, logoutIssuers: issuers, logoutTimeoutMs: timeoutMs, ...deps }: AppDeps,
): Promise<void> {
  if (verifier === undefined) return
  await app.register(introspectRoute({ ...deps, verifier }))
  await app.register(forwardAuthRoutes({ ...deps, verifier }))
  if (issuers === undefined) return
  await app.register(logoutRoutes({ ...deps, verifier, issuers, timeoutMs }))
}

/** Builds an app with health and metrics only. Does not listen yet. */
export async function buildMonitor(deps: MonitorDeps): Promise<FastifyInstance> {
  return addMonitoring(await createApp(deps), deps)
}

async function addMonitoring(app: FastifyInstance, deps: MonitorDeps): Promise<FastifyInstance> {
  await app.register(healthRoutes(deps))
  if (deps.metrics) await app.register(metricsRoute(deps.metrics))
  return app
}

async function createApp(deps: MonitorDeps, logStreamToken?: string): Promise<FastifyInstance> {
  const { limits = HTTP_LIMITS, maxConnections = MAX_CONNECTIONS, log } = deps
  const app = Fastify({
    serverFactory: (handle) => createHttpServer(handle, { limits, maxConnections, log }),
    loggerInstance: log,
    // Creating a logger for each request would be slow. `handleError` logs the id of the request.
    childLoggerFactory: (logger) => logger,
    // The URL of a request can contain a user id, which must not be logged.
    logController: new LogController({ disableRequestLogging: true }),
    frameworkErrors: (error, _request, reply) =>
      void sendError(secureEarlyResponse(reply), 400, error.message),
    trustProxy: deps.trustProxy ?? false,
    ...limits,
  })
  // By default, routes accept only JSON.
  app.removeContentTypeParser('text/plain')
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(createSerializerCompiler())
  app.setErrorHandler(handleError)
  app.setNotFoundHandler(handleNotFound)
  app.addHook('preClose', async () => {
    // Without this timer, closing would wait for connections without a request.
    setTimeout(() => app.server.closeAllConnections(), CLOSE_GRACE_MS).unref()
  })
  secureResponses(app)
  // This hook precedes authentication, so that rejected requests are measured, too.
  if (deps.metrics) measureRequests(app, deps.metrics)
  await requireKeys(app, { apiKeys: deps.apiKeys, logStreamToken })
  return app
}
