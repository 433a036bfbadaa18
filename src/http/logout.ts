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
import { acceptText } from './text-body.js'

/** Dependencies of `/logout`. */
export interface LogoutDeps extends Pick<ReportDeps, 'storeReported'> {
  verifier: Pick<TokenVerifier, 'verifyIdTokenHint'>
  /**
   * The issuers of the tenant, without a final slash. A logout is redirected to the issuer that its hint names, else to
   * the first one.
   */
  issuers: readonly string[]
  /** Timeout for verifying a hint, and for storing a logout, in milliseconds. Default: 1,000. */
  timeoutMs?: number | undefined
}

/** The session of a valid hint. A hint is an ID token in the parameter `id_token_hint`. */
interface HintedSession {
  userId: string
  sessionId: string
}

const TIMEOUT_MS = 1_000

/** Maximum number of stored reports of one session within {@link REPORT_PERIOD_MS}. A caller can repeat a hint. */
const MAX_REPORTS = 20

const REPORT_PERIOD_MS = 60_000

/** Minimum interval between two log lines about logouts that were not reported, in milliseconds. */
const LOG_INTERVAL_MS = 60_000

declare module 'fastify' {
  interface FastifyRequest {
    /** The session id of a valid hint; empty: the request has no valid hint. */
    hintedSession: string
  }
}

/**
 * `GET` and `POST /logout`: an application uses this route in place of the tenant's `/oidc/logout` (OpenID Connect
 * RP-Initiated Logout 1.0 §2), with the same parameters.
 *
 * The route stores the logout of the session in `id_token_hint`, and then redirects to `/oidc/logout`. So the tokens of
 * the session are revoked before the browser reaches Auth0. If the logout cannot be stored, the route still redirects:
 * Auth0 checks the parameters itself, and its log contains the logout later.
 */
export function logoutRoutes(deps: LogoutDeps): FastifyPluginAsync {
  return async (app) => {
    app.decorateRequest('hintedSession', '')
    const report = createReporter(app, deps)
    const options = {
      config: { access: 'public' },
      handler: async (request: FastifyRequest, reply: LogoutReply) => {
        const parameters = readParameters(request)
        const hint = readSingle(parameters, 'id_token_hint')
        if (hint !== null) await report(request, hint, parameters)
        // With this header, an application would lose access to the window in which it logs out. The header is not
        // needed, because the redirect displays nothing.
        reply.removeHeader('cross-origin-opener-policy')
        // 303 makes the browser use `GET`, even after a `POST`: a browser may send its cookies for Auth0 only with
        // `GET`.
        const issuer = chooseIssuer(deps.issuers, hint)
        return reply.redirect(`${issuer}/oidc/logout?${parameters}`, 303)
      },
    } as const
    acceptText(app)
    // `HEAD` must not report a logout.
    app.get('/logout', { ...options, exposeHeadRoute: false, schema: documentation })
    app.post('/logout', { ...options, schema: { ...documentation, consumes: [FORM] } })
  }
}

interface LogoutReply {
  removeHeader(name: string): unknown
  redirect(url: string, code: number): unknown
}

const documentation = {
  tags: inGroup('Logout'),
  summary: "Reports a logout, then redirects to the tenant's /oidc/logout with the same parameters",
  security: [],
  response: {
    303: z.null().describe("To the tenant's /oidc/logout, even if no logout was reported"),
  },
}

/** Creates a function that stores the logout of the session in a hint, if the hint is valid. */
function createReporter(app: FastifyInstance, deps: LogoutDeps) {
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

  /** Stores the logout, unless it was stored {@link MAX_REPORTS} times. Returns false if storing failed. Never rejects. */
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

  return async (request: FastifyRequest, hint: string, parameters: URLSearchParams) => {
    const session = await withTimeout(timeoutMs, verify(hint, parameters), 'unknown')
    // After an error, which was logged a moment ago, these calls of `warn` log nothing. They log, for example, a timeout.
    if (session === 'unknown') warn()
    else if (session === 'invalid') await countInvalid(request)
    else if (!(await withTimeout(timeoutMs, store(request, session), false))) warn()
  }
}

/** Reads the session of a verified hint. A hint without a session is invalid: its report would end all sessions. */
function readSession(verification: Verification): HintedSession | 'invalid' | 'unknown' {
  if (verification.outcome !== 'valid') return verification.outcome
  const { subject: userId, sessionId } = readToken(verification.claims)
  return userId === null || sessionId === null ? 'invalid' : { userId, sessionId }
}

/**
 * Returns the issuer that a hint names, if it is one of `issuers`, else the first of them. The hint need not be valid:
 * the browser has a session of Auth0 only at the domain of its login, also when the hint cannot be verified.
 */
function chooseIssuer(issuers: readonly string[], hint: string | null): string | undefined {
  const issuer = readIssuer(hint ?? '').replace(/\/$/, '')
  return issuers.includes(issuer) ? issuer : issuers[0]
}

/** Reads the claim `iss` of a token without verifying the token. */
function readIssuer(token: string): string {
  try {
    const [, payload = ''] = token.split('.')
    return String(JSON.parse(Buffer.from(payload, 'base64url').toString()).iss)
  } catch {
    return ''
  }
}

/** Reads the parameters of the query and of a form. Keeps parameters that occur more than once. */
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
