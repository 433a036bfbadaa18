import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { type Actions, createActions } from './actions.js'
import { addActionRoutes } from './actions-api.js'
import { type Bindings, createBindings } from './bindings.js'
import { addControlRoutes } from './control-api.js'
import { buildEntry } from './entries.js'
import { ApiError, tooManyRequests } from './errors.js'
import { createFaults, type Faults } from './faults.js'
import { type ExpiredCheckpoint, readLogs } from './logs.js'
import { type SimulatedRateLimit, simulateRateLimit } from './rate-limit.js'
import { createRequestLog, type RequestLog } from './request-log.js'
import type { Tenant } from './tenant.js'
import { type ClientCredentials, createTokenIssuer, type TokenIssuer } from './token-issuer.js'

const DEFAULT_CREDENTIALS: ClientCredentials = {
  clientId: 'LastLogoutWorker0000000000000001',
  clientSecret: 'simulated-secret-of-the-worker',
}

/** Options of {@link createSimulator}. */
export interface SimulatorOptions {
  tenant: Tenant
  /** The credentials of the only application that gets tokens. Default: fixed credentials. */
  credentials?: ClientCredentials
  /** The scopes of every token. Default: `read:logs` and `read:logs_users`. */
  scopes?: readonly string[]
  /** The lifetime of a token, in seconds. Default: 86,400. */
  expiresInSeconds?: number
  /** Whether each issued token adds a `seccft` entry to the log, as in Auth0. Default: true. */
  logTokenExchanges?: boolean
  /** The rate limit of `/api/v2`, by the tenant's clock. Default: no limit. */
  rateLimit?: SimulatedRateLimit
  /**
   * The response to a checkpoint that is older than every retained entry. Default: `continue`, the page that starts
   * with the oldest retained entry.
   */
  expiredCheckpoint?: ExpiredCheckpoint
  /** The duration of each build of an Action's draft or version, in milliseconds. Default: 0. */
  actionBuildMs?: number
  /** The delay of every response, in milliseconds. Default: 0. */
  latencyMs?: number
  /**
   * How far the headers `Date` and `x-ratelimit-reset` are ahead of the tenant's clock, in milliseconds. Default: 0.
   */
  clockAheadMs?: () => number
  /**
   * Whether the endpoints `POST /simulator/entries` and `POST /simulator/faults` exist. With these endpoints, programs
   * in any language can write entries and cause faults. Default: false.
   */
  control?: boolean
  /** The loopback address to listen on: `127.0.0.1` (default) or `::1`. */
  host?: string
  /** The port to listen on. Default: 0, any free port. */
  port?: number
}

/** A running simulator. */
export interface Simulator {
  /** The base URL, for example `http://127.0.0.1:40123`. */
  readonly url: string
  readonly tenant: Tenant
  readonly actions: Actions
  readonly bindings: Bindings
  readonly credentials: ClientCredentials
  readonly requests: RequestLog
  readonly faults: Faults
  close(): Promise<void>
}

const LOOPBACK = new Set(['127.0.0.1', '::1'])
const UNLIMITED: SimulatedRateLimit = { burst: 1000, perSecond: Infinity }
const FORM = 'application/x-www-form-urlencoded'

/** Starts an HTTP server that simulates a tenant: its token endpoint, its Logs API and its Actions. */
export async function createSimulator(options: SimulatorOptions): Promise<Simulator> {
  const { tenant, credentials = DEFAULT_CREDENTIALS, host = '127.0.0.1', port = 0 } = options
  if (!LOOPBACK.has(host)) throw new TypeError(`not a loopback address: ${host}`)
  const requests = createRequestLog()
  const faults = createFaults()
  const actions = createActions({ now: tenant.now, buildMs: options.actionBuildMs ?? 0 })
  const bindings = createBindings(actions, tenant.now)
  const app = fastify({ forceCloseConnections: true })
  addHooks(app, options, { requests, faults })
  addErrors(app)
  const tokenIssuer = addRoutes(app, options, credentials)
  addActionRoutes(app, { tokenIssuer, actions, bindings })
  if (options.control === true) addControlRoutes(app, { tenant, faults })
  await app.listen({ host, port })
  const { port: boundPort } = app.server.address() as AddressInfo
  const url = `http://${host === '::1' ? '[::1]' : host}:${boundPort}`
  const close = () => app.close()
  return { url, tenant, actions, bindings, credentials, requests, faults, close }
}

/** Applies the request log, the rate limit, the latency and the faults to every request. */
function addHooks(
  app: FastifyInstance,
  { tenant, rateLimit = UNLIMITED, latencyMs = 0, clockAheadMs = () => 0 }: SimulatorOptions,
  { requests, faults }: Pick<Simulator, 'requests' | 'faults'>,
): void {
  const countManagementRequest = simulateRateLimit(rateLimit, tenant.now)
  const countOtherRequest = simulateRateLimit(UNLIMITED, tenant.now)
  app.addHook('onRequest', async (request, reply) => {
    requests.add(request.raw, reply.raw)
    const url = toUrl(request)
    const isManagement = url.pathname.startsWith('/api/v2/')
    const state = isManagement ? countManagementRequest() : countOtherRequest()
    const aheadMs = clockAheadMs()
    reply.raw.setHeader('date', new Date(tenant.now() + aheadMs).toUTCString())
    reply.raw.setHeader('x-ratelimit-limit', state.limit)
    reply.raw.setHeader('x-ratelimit-remaining', state.remaining)
    reply.raw.setHeader('x-ratelimit-reset', Math.ceil(state.resetSeconds + aheadMs / 1000))
    if (latencyMs > 0) await sleep(latencyMs, undefined, { ref: false })
    await faults.take(url)?.(reply)
    if (!reply.sent && !state.allowed) throw tooManyRequests()
  })
}

/** Makes every error response look like Auth0's, including the response to an unknown path. */
function addErrors(app: FastifyInstance): void {
  app.setNotFoundHandler((request) => {
    const path = toUrl(request).pathname
    throw new ApiError(404, `The simulator has no endpoint ${request.method} ${path}.`)
  })
  app.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) => {
    const { body } =
      error instanceof ApiError ? error : new ApiError(error.statusCode ?? 500, error.message)
    return reply.code(body.statusCode).send(body)
  })
}

function addRoutes(
  app: FastifyInstance,
  options: SimulatorOptions,
  credentials: ClientCredentials,
): TokenIssuer {
  const { tenant, expiredCheckpoint = 'continue' } = options
  const tokenIssuer = createTokenIssuer({
    domain: tenant.domain,
    now: tenant.now,
    credentials,
    scopes: options.scopes ?? ['read:logs', 'read:logs_users'],
    expiresInSeconds: options.expiresInSeconds ?? 86_400,
    onTokenIssued: (audience, scope) => {
      if (options.logTokenExchanges === false) return
      const { clientId } = credentials
      const subject = { domain: tenant.domain, clientId, clientName: 'Log reader' }
      tenant.write(buildEntry('seccft', subject, { audience, scope }))
    },
  })

  app.addContentTypeParser(FORM, { parseAs: 'string' }, (_request, body, done) => {
    done(null, Object.fromEntries(new URLSearchParams(String(body))))
  })

  // Auth0 accepts an empty body of this type. Auth0's SDK for Go sends one to delete an Action.
  const parseJson = app.getDefaultJsonParser('error', 'error')
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, undefined)
    else parseJson(request, String(body), done)
  })

  app.post('/oauth/token', (request, reply) => {
    const { status, body } = tokenIssuer.respondToTokenRequest(request.body)
    return reply.code(status).header('cache-control', 'no-store').send(body)
  })

  app.get('/api/v2/logs', (request, reply) => {
    tokenIssuer.assertAuthorized(request.headers.authorization, 'read:logs')
    const { body, link } = readLogs(tenant, toUrl(request).searchParams, expiredCheckpoint)
    if (link !== undefined) reply.header('link', link)
    return reply.type('application/json; charset=utf-8').send(body)
  })
  return tokenIssuer
}

function toUrl(request: FastifyRequest): URL {
  const { url } = request
  // A path that begins with two slashes would be read as a host.
  return url.startsWith('/') ? new URL(`http://simulator${url}`) : new URL(url, 'http://simulator')
}
