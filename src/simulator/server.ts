import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { type Actions, createActions } from './actions.js'
import { addActionRoutes } from './actions-api.js'
import { type Bindings, createBindings } from './bindings.js'
import { buildEntry } from './entries.js'
import { ApiError, tooManyRequests } from './errors.js'
import { createFaults, type Faults } from './faults.js'
import { type ExpiredCheckpoint, readLogs } from './logs.js'
import { type RateLimit, rateLimiter } from './rate-limit.js'
import { createRequestLog, type RequestLog } from './request-log.js'
import type { Tenant } from './tenant.js'
import { type Credentials, createTokens, type Tokens } from './tokens.js'

const DEFAULT_CREDENTIALS: Credentials = {
  clientId: 'LastLogoutWorker0000000000000001',
  clientSecret: 'simulated-secret-of-the-worker',
}

/** How a simulator differs from the default. */
export interface SimulatorOptions {
  tenant: Tenant
  /** The one application that may ask for tokens; a made-up one by default. */
  credentials?: Credentials
  /** The scopes of every token, default `read:logs` and `read:logs_users`. */
  scopes?: readonly string[]
  /** How long a token lives, default 86,400 s. */
  expiresInSeconds?: number
  /** Whether a token exchange writes a `seccft` entry, as Auth0 does; default true. */
  logTokenExchanges?: boolean
  /** The bucket of `/api/v2`, on the tenant's clock; default one that never empties. */
  rateLimit?: RateLimit
  /** What a checkpoint older than the retention gets, default `continue`. */
  expiredCheckpoint?: ExpiredCheckpoint
  /** How long an Action, and each version of it, is built, default 0. */
  actionBuildMs?: number
  /** How long every answer takes, default 0. */
  latencyMs?: number
  /** How far the clock behind `Date` and `x-ratelimit-reset` is ahead of the tenant's, in ms; default 0. */
  clockAheadMs?: () => number
  /** `127.0.0.1` (default) or `::1`: it listens on loopback only. */
  host?: string
  /** Default 0: any free one. */
  port?: number
}

/** A running simulator. */
export interface Simulator {
  /** Where it listens, for example `http://127.0.0.1:40123`. */
  readonly url: string
  readonly tenant: Tenant
  readonly actions: Actions
  readonly bindings: Bindings
  readonly credentials: Credentials
  readonly requests: RequestLog
  readonly faults: Faults
  close(): Promise<void>
}

const LOOPBACK = new Set(['127.0.0.1', '::1'])
const UNLIMITED: RateLimit = { burst: 1000, perSecond: Infinity }
const FORM = 'application/x-www-form-urlencoded'

/** Starts an HTTP double of a tenant: its token endpoint, its Logs API and its Actions. */
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
  const tokens = addRoutes(app, options, credentials)
  addActionRoutes(app, { tokens, actions, bindings })
  await app.listen({ host, port })
  const { port: bound } = app.server.address() as AddressInfo
  const url = `http://${host === '::1' ? '[::1]' : host}:${bound}`
  const close = () => app.close()
  return { url, tenant, actions, bindings, credentials, requests, faults, close }
}

/** What happens to every request, known or not, before it is answered. */
function addHooks(
  app: FastifyInstance,
  { tenant, rateLimit = UNLIMITED, latencyMs = 0, clockAheadMs = () => 0 }: SimulatorOptions,
  { requests, faults }: Pick<Simulator, 'requests' | 'faults'>,
): void {
  const takeManagement = rateLimiter(rateLimit, tenant.now)
  const takeOther = rateLimiter(UNLIMITED, tenant.now)
  app.addHook('onRequest', async (request, reply) => {
    requests.add(request.raw, reply.raw)
    const url = toUrl(request)
    const state = url.pathname.startsWith('/api/v2/') ? takeManagement() : takeOther()
    const aheadMs = clockAheadMs()
    reply.raw.setHeader('date', new Date(tenant.now() + aheadMs).toUTCString())
    reply.raw.setHeader('x-ratelimit-limit', state.limit)
    reply.raw.setHeader('x-ratelimit-remaining', state.remaining)
    reply.raw.setHeader('x-ratelimit-reset', state.resetSeconds + aheadMs / 1000)
    if (latencyMs > 0) await sleep(latencyMs, undefined, { ref: false })
    await faults.take(url)?.(reply)
    if (!reply.sent && !state.allowed) throw tooManyRequests()
  })
}

/** Errors in Auth0's form, for unknown paths too. */
function addErrors(app: FastifyInstance): void {
  app.setNotFoundHandler(() => {
    throw new ApiError(404, 'Not Found')
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
  credentials: Credentials,
): Tokens {
  const { tenant, expiredCheckpoint = 'continue' } = options
  const tokens = createTokens({
    domain: tenant.domain,
    now: tenant.now,
    credentials,
    scopes: options.scopes ?? ['read:logs', 'read:logs_users'],
    expiresInSeconds: options.expiresInSeconds ?? 86_400,
    onExchange: (audience, scope) => {
      if (options.logTokenExchanges === false) return
      const { clientId } = credentials
      const about = { domain: tenant.domain, clientId, clientName: 'Log reader' }
      tenant.write(buildEntry('seccft', about, { audience, scope }))
    },
  })

  app.addContentTypeParser(FORM, { parseAs: 'string' }, (_request, body, done) => {
    done(null, Object.fromEntries(new URLSearchParams(String(body))))
  })

  app.post('/oauth/token', (request, reply) => {
    const { status, body } = tokens.exchange(request.body)
    return reply.code(status).header('cache-control', 'no-store').send(body)
  })

  app.get('/api/v2/logs', (request, reply) => {
    tokens.assertAuthorized(request.headers.authorization, 'read:logs')
    const { body, link } = readLogs(tenant, toUrl(request).searchParams, expiredCheckpoint)
    if (link !== undefined) reply.header('link', link)
    return reply.type('application/json; charset=utf-8').send(body)
  })
  return tokens
}

function toUrl(request: FastifyRequest): URL {
  return new URL(request.url, 'http://simulator')
}
