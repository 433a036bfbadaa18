import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import express, {
  type ErrorRequestHandler,
  type Express,
  type RequestHandler,
  type Response,
} from 'express'
import { auth } from 'express-oauth2-jwt-bearer'
import { lastLogout } from '../client/express.js'
import type { LastLogoutClient } from '../client/index.js'
import { streamOrders } from './live-connections.js'
import type { ApiBehindNginx } from './nginx.js'
import { AUDIENCE } from './provider.js'

/**
 * The directories of the page's own files, and of the files that the console uses too. They are served without a build.
 */
const PAGE = fileURLToPath(new URL('../../src/demo/page', import.meta.url))
const SHARED = fileURLToPath(new URL('../../src/web', import.meta.url))

/** The documents of last-logout, to which the page has links. */
const DOCUMENTS = fileURLToPath(new URL('../../docs', import.meta.url))

const EVENT_STREAM = 'text/event-stream'

/** The options of {@link createOrderDesk}. */
export interface OrderDeskOptions {
  issuer: string
  clientId: string
  client: LastLogoutClient
  /** URL of the API of last-logout. */
  serviceUrl: string
  /** An API key of last-logout with the roles read, check and feed. */
  apiKey: string
  nginx: ApiBehindNginx
  /** URL of the WebSocket with new orders. */
  socketUrl: string
  /** Whether the event of the login Action has the fields that only Enterprise plans provide. */
  enterprise: boolean
}

/**
 * Creates the demo's app, an order desk: a page, two APIs of orders that the page calls, and the routes through which
 * the page displays what last-logout knows. Both APIs verify the token in the same way. Only one of the APIs uses
 * last-logout.
 */
export function createOrderDesk(options: OrderDeskOptions): Express {
  const { issuer, clientId, client, nginx, enterprise, serviceUrl, socketUrl } = options
  const verified = auth({ issuerBaseURL: issuer, audience: AUDIENCE, tokenSigningAlg: 'RS256' })

  const app = express()
  app.disable('x-powered-by')
  app.use(setSecurityHeaders([issuer, socketUrl, ...(nginx.url === undefined ? [] : [nginx.url])]))
  const links = {
    logoutUrl: `${serviceUrl}/logout`,
    docsUrl: `${serviceUrl}/docs`,
    consoleUrl: `${serviceUrl}/console`,
  }
  app.get(
    '/settings.json',
    (_req, res) => void res.json({ issuer, clientId, nginx, socketUrl, enterprise, ...links }),
  )
  app.get('/api/orders', verified, lastLogout(client), listOrders)
  app.get('/api-without/orders', verified, listOrders)
  app.get('/live/events', verified, streamOrders(client))
  app.get('/known', verified, showUserState(options))
  app.get('/feed', proxyFeed(options))
  app.use(express.static(PAGE), express.static(SHARED))
  app.use('/documents', express.static(DOCUMENTS, { setHeaders: showAsText }))
  app.use(handleError)
  return app
}

/** Serves Markdown as plain text, because browsers display plain text but download Markdown. */
function showAsText(res: Response, path: string): void {
  if (path.endsWith('.md')) res.type('text/plain')
}

const listOrders: RequestHandler = (req, res) => {
  res.json({ user: req.auth?.payload.sub, orders: ['A-1001', 'A-1002'] })
}

/**
 * Sets headers that restrict the page. The page can load files only from its own host. It can send requests only to its
 * own host and to the servers of `urls`.
 */
function setSecurityHeaders(urls: string[]): RequestHandler {
  const origins = urls.map((url) => new URL(url).origin).join(' ')
  const policy = `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' ${origins}; base-uri 'none'; frame-ancestors 'none'`
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

/** Responds with the user's last logout, and whether last-logout considers the token revoked. */
function showUserState({ serviceUrl, apiKey }: OrderDeskOptions): RequestHandler {
  const request = async (path: string, init: RequestInit = {}): Promise<unknown> => {
    const headers = { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' }
    const response = await fetch(`${serviceUrl}${path}`, { ...init, headers })
    return response.json()
  }
  return async (req, res) => {
    const claims = req.auth?.payload ?? {}
    const session = String(claims['https://last-logout/session_id'] ?? '')
    const query = new URLSearchParams({
      user_id: String(claims.sub),
      ...(session !== '' && { session_id: session }),
    })
    const [lastLogoutResponse, checkResponse] = await Promise.all([
      request(`/v1/last-logout?${query}`),
      request('/v1/check', { method: 'POST', body: JSON.stringify({ claims }) }),
    ])
    res.json({ lastLogout: lastLogoutResponse, check: checkResponse })
  }
}

/** Proxies the change feed, so that the page does not need the API key. The feed starts one minute in the past. */
function proxyFeed({ serviceUrl, apiKey }: OrderDeskOptions): RequestHandler {
  return async (req, res) => {
    const feedController = new AbortController()
    res.on('close', () => feedController.abort())
    const since = new Date(Date.now() - 60_000).toISOString()
    const lastEventId = req.get('last-event-id')
    const headers = {
      authorization: `Bearer ${apiKey}`,
      accept: EVENT_STREAM,
      ...(lastEventId && { 'last-event-id': lastEventId }),
    }
    const url = `${serviceUrl}/v1/changes?since=${since}`
    const { signal } = feedController
    const response = await fetch(url, { headers, signal }).catch(() => null)
    if (!response?.body) return void res.status(503).end()
    res.status(response.status).type(EVENT_STREAM)
    // The stream ends when the page is closed, or when the service stops. The page then reconnects.
    await pipeline(response.body, res).catch(() => {})
  }
}

/** Responds to an error. Errors of `auth()` and `lastLogout()` have a status, headers and a code (RFC 6750 §3.1). */
const handleError: ErrorRequestHandler = (error, _req, res, _next) => {
  const { status = 500, headers = {}, code = 'server_error', message } = error
  const error_description = status < 500 ? message : 'internal error'
  res.status(status).set(headers).json({ error: code, error_description })
}
