import { randomUUID } from 'node:crypto'
import type { Claims } from '../../src/client/index.js'
import { buildEntry } from '../../src/simulator/entries.js'
import type { Tenant } from '../../src/simulator/tenant.js'
import type { RunAction } from './run-action.js'

const DAY_SECONDS = 86_400

/**
 * Optional fields of the event that the Action receives at an exchange (the use of a refresh token for new tokens).
 * `event.refresh_token` needs an Enterprise plan. Auth0 does not document when the other two fields are present.
 */
export interface ExchangeFields {
  /** Whether the event has `event.authentication.methods`. They contain the time at which the session began. */
  methods?: boolean
  /** Whether the event has `event.session.id`. */
  session?: boolean
  /** Whether the event has `event.refresh_token`. It contains the session id and when the refresh token was created. */
  refreshToken?: boolean
}

/** The options of {@link simulateAuth0}. */
export interface SimulatedAuth0Options {
  tenant: Tenant
  /** Runs the login Action. `null`: the tenant has no login Action. */
  runAction: RunAction | null
  /** The secrets of the login Action. */
  secrets: Record<string, string>
  exchangeFields?: ExchangeFields
  /** Whether each exchange creates a new refresh token. Default: `false`. */
  rotatesRefreshTokens?: boolean
}

interface Session {
  id: string
  userId: string
  /** When the user logged in with credentials, in milliseconds since the epoch. */
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

/** What an application receives instead of tokens: the error `access_denied` with this reason. */
interface Denial {
  denied: string
}

/** An authorization code. The Action has run, but Auth0 has not issued the tokens yet. */
interface AuthorizationCode {
  session: Session
  claims: Claims
}

/** Whether the log entry of a logout contains the user id and the session id. Default: both. */
interface EntryIds {
  user?: boolean
  session?: boolean
}

/** The browser of a user. */
export interface Browser {
  /** Logs in with a password, and begins a new session. */
  logIn(app?: string): Promise<IssuedTokens>
  /** Logs in with the current session, as with `prompt=none`. Throws if there is no session. */
  logInSilently(app?: string): Promise<IssuedTokens>
  /** Logs in with the current session. Returns an authorization code, which the application can redeem later. */
  authorize(app?: string): Promise<AuthorizationCode>
  /** Opens the login page. The returned function completes the login with a password, and keeps the session. */
  beginLogin(app?: string): () => Promise<IssuedTokens>
  /** Ends the current session, and writes a log entry. Refresh tokens stay valid. */
  logOut(ids?: EntryIds): void
}

/** The part of Auth0 that users and applications use. */
export interface SimulatedAuth0 {
  openBrowser(userId: string): Browser
  /** Exchanges an authorization code for tokens. */
  redeem(code: AuthorizationCode): IssuedTokens
  /** Uses the refresh token to get new tokens. */
  refresh(tokens: IssuedTokens, app?: string): Promise<IssuedTokens | Denial>
  /** Performs a custom token exchange with the access token as the subject token. */
  exchangeToken(tokens: IssuedTokens): Promise<IssuedTokens | Denial>
}

/** Simulates the sessions and tokens of Auth0 in memory. */
export function simulateAuth0(options: SimulatedAuth0Options): SimulatedAuth0 {
  const { tenant, exchangeFields = {}, rotatesRefreshTokens = false } = options
  const now = () => tenant.now()

  async function runLoginAction(event: object): Promise<Claims | Denial> {
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

  async function authorize(session: Session, app: string): Promise<AuthorizationCode> {
    const claims = await runLoginAction({
      ...baseEvent(session, 'oidc-basic-profile', app),
      session: { id: session.id },
      authentication: toAuthenticationField(session),
    })
    if (isDenial(claims)) throw new Error(`a login was denied: ${claims.denied}`)
    return { session, claims }
  }

  const issue = (refreshToken: RefreshToken, claims: Claims): IssuedTokens => {
    const iat = Math.floor(now() / 1000)
    const standardClaims = { sub: refreshToken.session.userId, iat, exp: iat + DAY_SECONDS }
    return { claims: { ...standardClaims, ...claims }, refreshToken }
  }
  const redeem = ({ session, claims }: AuthorizationCode) =>
    issue({ session, createdAt: now() }, claims)

  async function exchange(
    { refreshToken }: IssuedTokens,
    event: object,
    nextRefreshToken: RefreshToken,
  ): Promise<IssuedTokens | Denial> {
    const { session } = refreshToken
    const claims = await runLoginAction({
      ...event,
      ...(exchangeFields.session && { session: { id: session.id } }),
      ...(exchangeFields.methods && { authentication: toAuthenticationField(session) }),
    })
    return isDenial(claims) ? claims : issue(nextRefreshToken, claims)
  }

  return {
    openBrowser: (userId) => openBrowser({ tenant, userId, authorize, redeem }),
    redeem,
    refresh(tokens, app = 'web') {
      const { refreshToken } = tokens
      const event = {
        ...baseEvent(refreshToken.session, 'oauth2-refresh-token', app),
        ...(exchangeFields.refreshToken && { refresh_token: toRefreshTokenField(refreshToken) }),
      }
      const nextRefreshToken = rotatesRefreshTokens
        ? { ...refreshToken, createdAt: now() }
        : refreshToken
      return exchange(tokens, event, nextRefreshToken)
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

function toAuthenticationField({ authenticatedAt }: Session) {
  return { methods: [{ name: 'pwd', timestamp: new Date(authenticatedAt).toISOString() }] }
}

function toRefreshTokenField({ createdAt, session }: RefreshToken) {
  return { created_at: new Date(createdAt).toISOString(), session_id: session.id }
}

interface BrowserOptions {
  tenant: Tenant
  userId: string
  authorize(session: Session, app: string): Promise<AuthorizationCode>
  redeem(code: AuthorizationCode): IssuedTokens
}

function openBrowser({ tenant, userId, authorize, redeem }: BrowserOptions): Browser {
  let activeSession: Session | null = null
  const beginSession = () => {
    activeSession = { id: randomUUID(), userId, authenticatedAt: tenant.now() }
    return activeSession
  }
  const currentSession = () => {
    if (activeSession === null) throw new Error('login_required')
    return activeSession
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
      activeSession = null
      const entry = buildEntry(
        'slo',
        { userId, ...(session && { sessionId }) },
        user ? {} : { user_id: null, user_name: null },
      )
      tenant.write(entry)
    },
  }
}
