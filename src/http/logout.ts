import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { throttle } from '../async/throttle.js'
import { withTimeout } from '../async/timeout.js'
import { readToken } from '../rules/token.js'
import type { TokenVerifier, Verification } from '../rules/verification.js'
import { inGroup } from './docs.js'
import { countFailures } from './failed-auth.js'
import { FORM } from './form-body.js'
import type { ReportDeps } from './report.js'

/** Dependencies of `/logout`. */
export interface LogoutDeps extends Pick<ReportDeps, 'storeReported'> {
  verifier: Pick<TokenVerifier, 'verifyIdTokenHint'>
  /** The issuers of the tenant, without the slash at the end. A logout without a valid hint is sent to the first one. */
  issuers: readonly string[]
  /** Upper bound of the verification of a hint, and of the storing of a logout, in milliseconds. Default: 1,000. */
  timeoutMs?: number | undefined
}

/** The session that a valid hint names. */
interface HintedSession {
  issuer: string
  userId: string
  sessionId: string
}

const TIMEOUT_MS = 1_000

/** Maximum number of reports of one session within {@link REPORT_PERIOD_MS}: a hint can be sent again and again. */
const MAX_REPORTS = 20

const REPORT_PERIOD_MS = 60_000

/** Minimum interval between two log lines about logouts that were not reported, in milliseconds. */
const LOG_INTERVAL_MS = 60_000

declare module 'fastify' {
  interface FastifyRequest {
    /** The session that a valid hint names; empty: there is none. */
    hintedSession: string
  }
}

/**
 * `GET` and `POST /logout`: takes the parameters of the tenant's `/oidc/logout` (OpenID Connect RP-Initiated Logout 1.0
 * §2), reports the logout of the session that `id_token_hint` names, and redirects to `/oidc/logout` with the same
 * parameters. The tokens of the session are revoked before the browser reaches Auth0. The redirect never depends on the
 * report: Auth0 checks the parameters, and its log entry follows.
 */
export function logoutRoutes(deps: LogoutDeps): FastifyPluginAsync {
  return async (app) => {
    app.decorateRequest('hintedSession', '')
    const report = createReport(app, deps)
    const options = {
      config: { access: 'public' },
      handler: async (request: FastifyRequest, reply: LogoutReply) => {
        const parameters = readParameters(request)
        const issuer = (await report(request, parameters)) ?? deps.issuers[0]
        // Also after a `POST`, the browser continues with `GET`: its cookies for Auth0 can be restricted to that.
        return reply.redirect(`${issuer}/oidc/logout?${parameters}`, 303)
      },
    } as const
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body))
    // `HEAD` must not report a logout.
    app.get('/logout', { ...options, exposeHeadRoute: false, schema: documentation })
    app.post('/logout', { ...options, schema: { ...documentation, consumes: [FORM] } })
  }
}

interface LogoutReply {
  redirect(url: string, code: number): unknown
}

const documentation = {
  tags: inGroup('Logout'),
  summary: "Reports a logout, then redirects to the tenant's /oidc/logout with the same parameters",
  security: [],
  response: {
    303: z.null().describe("The tenant's /oidc/logout, also if no logout was reported"),
  },
}

/** Returns a function that reports the logout of a request. It returns the issuer of a valid hint, else `undefined`. */
function createReport(app: FastifyInstance, deps: LogoutDeps) {
  const { verifier, storeReported, timeoutMs = TIMEOUT_MS } = deps
  const countInvalid = countFailures(app.createRateLimit({}), (address) =>
    app.log.warn({ address }, 'too many invalid logout hints from an address'),
  )
  const countReport = app.createRateLimit({
    max: MAX_REPORTS,
    timeWindow: REPORT_PERIOD_MS,
    keyGenerator: ({ hintedSession }) => hintedSession,
  })
  const warn = throttle(LOG_INTERVAL_MS, (err?: unknown) =>
    app.log.warn({ err }, 'logout redirected without a report'),
  )

  const verify = async (hint: string, parameters: URLSearchParams) => {
    try {
      return readSession(
        await verifier.verifyIdTokenHint(hint, readSingle(parameters, 'client_id')),
      )
    } catch (error) {
      warn(error)
      return 'unknown'
    }
  }

  /** Stores the logout, unless that was done often enough. Returns whether nothing is left to do. Never rejects. */
  const store = async (request: FastifyRequest, { userId, sessionId }: HintedSession) => {
    request.hintedSession = sessionId
    const count = await countReport(request)
    if (!count.isAllowed && count.isExceeded) return true
    try {
      await storeReported({ userId, sessionId, at: null, type: 'reported_logout' })
      return true
    } catch (error) {
      warn(error)
      return false
    }
  }

  return async (request: FastifyRequest, parameters: URLSearchParams) => {
    const hint = readSingle(parameters, 'id_token_hint')
    if (hint === null) return undefined
    const session = await withTimeout(timeoutMs, verify(hint, parameters), 'unknown')
    if (session === 'unknown') return warn()
    if (session === 'invalid') return void (await countInvalid(request))
    if (!(await withTimeout(timeoutMs, store(request, session), false))) warn()
    return session.issuer
  }
}

/** Reads the session of a verified hint. A report without a session would end all sessions of the user. */
function readSession(verification: Verification): HintedSession | 'invalid' | 'unknown' {
  if (verification.outcome !== 'valid') return verification.outcome
  const { claims } = verification
  const { subject: userId, sessionId } = readToken(claims)
  if (userId === null || sessionId === null) return 'invalid'
  return { issuer: claims.iss.replace(/\/$/, ''), userId, sessionId }
}

/** Reads the parameters of the query and of a form. All of them are passed on, those that occur twice too. */
function readParameters({ url, body }: FastifyRequest): URLSearchParams {
  const [, query = ''] = url.split(/\?(.*)/s)
  const parameters = new URLSearchParams(query)
  for (const [name, value] of new URLSearchParams(typeof body === 'string' ? body : '')) {
    parameters.append(name, value)
  }
  return parameters
}

/** Returns a parameter that occurs exactly once, else `null`. */
function readSingle(parameters: URLSearchParams, name: string): string | null {
  const values = parameters.getAll(name)
  return values.length === 1 ? (values[0] ?? null) : null
}
