import { randomUUID } from 'node:crypto'
import type { Claims } from '../../src/client/index.js'
import { buildEntry } from '../../src/simulator/entries.js'
import type { Tenant } from '../../src/simulator/tenant.js'
import type { RunAction } from './run-action.js'

const DAY_SECONDS = 86_400

/**
 * Optional fields of the event that the Action receives at an exchange. `event.refresh_token` needs an Enterprise plan.
 * Auth0 does not document when `event.authentication` and `event.session` are present.
 */
export interface ExchangeFields {
  /** Whether the event has `event.authentication.methods`, with the time at which the session began. */
  methods?: boolean
  /** Whether the event has `event.session.id`. */
  session?: boolean
  /** Whether the event has `event.refresh_token`, with the session and the creation time of the refresh token. */
  refreshToken?: boolean
}

/** The options of {@link simulateAuth0}. */
export interface SimulatedAuth0Options {
  tenant: Tenant
  /** Runs the login Action; `null` if the tenant has no login Action. */
  runAction: RunAction | null
  secrets: Record<string, string>
  exchangeFields?: ExchangeFields
  /** Whether each exchange creates a new refresh token. Default: `false`. */
  rotates?: boolean
}

interface Session {
  id: string
  userId: string
  authenticatedAt: number
}

interface RefreshToken {
  session: Session
  createdAt: number
}

/** The tokens that an application receives. */
export interface IssuedTokens {
  /** The claims of the access token. */
  claims: Claims
  refreshToken: RefreshToken
}

/** The error `access_denied`, which an application receives instead of tokens. */
interface Denial {
  denied: string
}

/** An authorization code. The Action has run, but the tokens are not issued yet. */
interface Code {
  session: Session
  claims: Claims
}

/** Which ids the log entry of a logout contains. Default: both. */
interface EntryIds {
  user?: boolean
  session?: boolean
}

/** The browser of a user. */
export interface Browser {
  /** Logs in with credentials, and begins a new session. */
  logIn(app?: string): Promise<IssuedTokens>
  /** Logs in with the current session (`prompt=none`). Throws if there is no session. */
  logInSilently(app?: string): Promise<IssuedTokens>
  /** Logs in with the current session, and returns the authorization code without redeeming it. */
  authorize(app?: string): Promise<Code>
  /** Opens the login page with the current session. The returned function completes the login. */
  beginLogin(app?: string): () => Promise<IssuedTokens>
  /** Ends the session and writes a log entry. Refresh tokens stay valid. */
  logOut(ids?: EntryIds): void
}

/** The part of Auth0 that users and applications call. */
export interface SimulatedAuth0 {
  openBrowser(userId: string): Browser
  /** Exchanges an authorization code for tokens. */
  redeem(code: Code): IssuedTokens
  /** Exchanges the refresh token for new tokens. */
  refresh(tokens: IssuedTokens, app?: string): Promise<IssuedTokens | Denial>
  /** Performs a custom token exchange with the access token as the subject token. */
  exchangeToken(tokens: IssuedTokens): Promise<IssuedTokens | Denial>
}

/** Simulates the sessions and tokens of Auth0 in memory. */
export function simulateAuth0(options: SimulatedAuth0Options): SimulatedAuth0 {
  const { tenant, exchangeFields = {}, rotates = false } = options
  const now = () => tenant.now()

  async function run(event: object): Promise<Claims | Denial> {
    if (options.runAction === null) return {}
    const { accessToken, denied } = await options.runAction(event)
    return denied === null ? accessToken : { denied }
  }

  const baseEvent = ({ userId }: Session, protocol: string, app: string) => ({
    user: { user_id: userId },
    client: { client_id: app },
    transaction: { protocol },
    request: {},
    secrets: options.secrets,
  })

  async function authorize(session: Session, app: string): Promise<Code> {
    const claims = await run({
      ...baseEvent(session, 'oidc-basic-profile', app),
      session: { id: session.id },
      authentication: methodsOf(session),
    })
    if (isDenial(claims)) throw new Error(`a login was denied: ${claims.denied}`)
    return { session, claims }
  }

  const issue = (refreshToken: RefreshToken, claims: Claims): IssuedTokens => {
    const iat = Math.floor(now() / 1000)
    const standard = { sub: refreshToken.session.userId, iat, exp: iat + DAY_SECONDS }
    return { claims: { ...standard, ...claims }, refreshToken }
  }
  const redeem = ({ session, claims }: Code) => issue({ session, createdAt: now() }, claims)

  async function exchange(
    { refreshToken }: IssuedTokens,
    event: object,
    next: RefreshToken,
  ): Promise<IssuedTokens | Denial> {
    const { session } = refreshToken
    const claims = await run({
      ...event,
      ...(exchangeFields.session && { session: { id: session.id } }),
      ...(exchangeFields.methods && { authentication: methodsOf(session) }),
    })
    return isDenial(claims) ? claims : issue(next, claims)
  }

  return {
    openBrowser: (userId) => openBrowser({ tenant, userId, authorize, redeem }),
    redeem,
    refresh(tokens, app = 'web') {
      const { refreshToken } = tokens
      const event = {
        ...baseEvent(refreshToken.session, 'oauth2-refresh-token', app),
        ...(exchangeFields.refreshToken && { refresh_token: toEventField(refreshToken) }),
      }
      const next = rotates ? { ...refreshToken, createdAt: now() } : refreshToken
      return exchange(tokens, event, next)
    },
    exchangeToken(tokens) {
      const { refreshToken } = tokens
      const event = baseEvent(refreshToken.session, 'oauth2-token-exchange', 'web')
      return exchange(tokens, event, refreshToken)
    },
  }
}

/** Whether an application received a denial instead of tokens. */
export function isDenial(result: object): result is Denial {
  return 'denied' in result
}

function methodsOf({ authenticatedAt }: Session) {
  return { methods: [{ name: 'pwd', timestamp: new Date(authenticatedAt).toISOString() }] }
}

function toEventField({ createdAt, session }: RefreshToken) {
  return { created_at: new Date(createdAt).toISOString(), session_id: session.id }
}

interface BrowserParts {
  tenant: Tenant
  userId: string
  authorize(session: Session, app: string): Promise<Code>
  redeem(code: Code): IssuedTokens
}

function openBrowser({ tenant, userId, authorize, redeem }: BrowserParts): Browser {
  let liveSession: Session | null = null
  const beginSession = () => {
    liveSession = { id: randomUUID(), userId, authenticatedAt: tenant.now() }
    return liveSession
  }
  const currentSession = () => {
    if (liveSession === null) throw new Error('login_required')
    return liveSession
  }
  return {
    logIn: async (app = 'web') => redeem(await authorize(beginSession(), app)),
    logInSilently: async (app = 'web') => redeem(await authorize(currentSession(), app)),
    authorize: (app = 'web') => authorize(currentSession(), app),
    beginLogin(app = 'web') {
      const { id } = currentSession()
      return async () => redeem(await authorize({ id, userId, authenticatedAt: tenant.now() }, app))
    },
    logOut({ user = true, session = true } = {}) {
      const { id: sessionId } = currentSession()
      liveSession = null
      const entry = buildEntry(
        'slo',
        { userId, ...(session && { sessionId }) },
        user ? {} : { user_id: null, user_name: null },
      )
      tenant.write(entry)
    },
  }
}
