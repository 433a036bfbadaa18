import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express'
import { auth } from 'express-oauth2-jwt-bearer'
import { lastLogout } from '../client/express.js'
import type { LastLogoutClient } from '../client/index.js'
import { AUDIENCE } from './provider.js'

/** Read as they are: the page has no build step. */
const PAGE = fileURLToPath(new URL('../../src/demo/page', import.meta.url))

const EVENT_STREAM = 'text/event-stream'

/** What the app is made of. */
export interface OrderDeskOptions {
  issuer: string
  clientId: string
  client: LastLogoutClient
  /** Where last-logout is served. */
  serviceUrl: string
  /** A key of it with the roles read, check and feed. */
  apiKey: string
  /** Whether logins are given what only Enterprise plans have. */
  enterprise: boolean
}

/** The demo's web page, the API that it calls, and the view of what the service knows. */
export function createOrderDesk(options: OrderDeskOptions): Express {
  const { issuer, clientId, client, enterprise } = options
  const verified = auth({ issuerBaseURL: issuer, audience: AUDIENCE, tokenSigningAlg: 'RS256' })

  const app = express()
  app.disable('x-powered-by')
  app.use(secured(issuer))
  app.get('/settings.json', (_req, res) => void res.json({ issuer, clientId, enterprise }))
  app.get('/api/orders', verified, lastLogout(client), (req, res) => {
    res.json({ user: req.auth?.payload.sub, orders: ['A-1001', 'A-1002'] })
  })
  app.get('/known', verified, known(options))
  app.get('/feed', feed(options))
  app.use(express.static(PAGE))
  app.use(handleError)
  return app
}

/** Nothing from another host; only the login is asked elsewhere. */
function secured(issuer: string): RequestHandler {
  const policy = `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' ${new URL(issuer).origin}; base-uri 'none'; frame-ancestors 'none'`
  return (_req, res, next) => {
    res.set({
      'content-security-policy': policy,
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    })
    next()
  }
}

/** What the service knows of the bearer, and whether it would refuse the token. */
function known({ serviceUrl, apiKey }: OrderDeskOptions): RequestHandler {
  const ask = async (path: string, init: RequestInit = {}): Promise<unknown> => {
    const headers = { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' }
    const answer = await fetch(`${serviceUrl}${path}`, { ...init, headers })
    return answer.json()
  }
  return async (req, res) => {
    const claims = req.auth?.payload ?? {}
    const session = String(claims['https://last-logout/session_id'] ?? '')
    const query = new URLSearchParams({
      user_id: String(claims.sub),
      ...(session !== '' && { session_id: session }),
    })
    const [lastLogout, check] = await Promise.all([
      ask(`/v1/last-logout?${query}`),
      ask('/v1/check', { method: 'POST', body: JSON.stringify({ claims }) }),
    ])
    res.json({ lastLogout, check })
  }
}

/** The change feed of the last minute and from now on; its key stays here. */
function feed({ serviceUrl, apiKey }: OrderDeskOptions): RequestHandler {
  return async (req, res) => {
    const left = new AbortController()
    res.on('close', () => left.abort())
    const since = new Date(Date.now() - 60_000).toISOString()
    const lastEventId = req.get('last-event-id')
    const headers = {
      authorization: `Bearer ${apiKey}`,
      accept: EVENT_STREAM,
      ...(lastEventId && { 'last-event-id': lastEventId }),
    }
    const url = `${serviceUrl}/v1/changes?since=${since}`
    const answer = await fetch(url, { headers, signal: left.signal }).catch(() => null)
    if (!answer?.body) return void res.status(503).end()
    res.status(answer.status).type(EVENT_STREAM)
    // Whoever leaves ends it, and so does the end of the service: the page connects again.
    await pipeline(answer.body, res).catch(() => {})
  }
}

/** What `auth()` throws has a status, headers and a code (RFC 6750 §3.1). */
const handleError: ErrorRequestHandler = (error, _req, res, _next) => {
  const { status = 500, headers = {}, code = 'server_error', message } = error
  const error_description = status < 500 ? message : 'this failed'
  res.status(status).set(headers).json({ error: code, error_description })
}
