import { randomUUID } from 'node:crypto'
import type { Claims } from '../../src/client/index.js'
import { buildEntry } from '../../src/simulator/entries.js'
import type { Tenant } from '../../src/simulator/tenant.js'
import type { RunAction } from './run-action.js'

const DAY_SECONDS = 86_400

/**
 * What a post-login event tells in an exchange beside the user. The refresh token is for Enterprise
 * plans; of the others nobody has said for certain when they are there.
 */
export interface Told {
  /** `event.authentication.methods`: when the session's login was. */
  methods?: boolean
  /** `event.session.id`. */
  session?: boolean
  /** `event.refresh_token`: its beginning and its session. */
  refreshToken?: boolean
}

/** How Auth0 is set up. */
export interface WorldOptions {
  tenant: Tenant
  /** `null`: the tenant has no login Action. */
  runAction: RunAction | null
  secrets: Record<string, string>
  told?: Told
  /** Whether each exchange of a refresh token gives another, begun then; default that it stays. */
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

/** What an application gets. */
export interface Tokens {
  /** Of the access token. */
  claims: Claims
  refreshToken: RefreshToken
}

/** What an application gets instead, as `access_denied`. */
interface Denial {
  denied: string
}

/** An authorization code: the Action has run, the tokens are not issued yet. */
interface Code {
  session: Session
  claims: Claims
}

/** What a logout's log entry names. */
interface Named {
  user?: boolean
  session?: boolean
}

/** A browser of a user. */
export interface Browser {
  /** With fresh credentials: a new session. */
  logIn(app?: string): Promise<Tokens>
  /** On the live session (`prompt=none`); throws without one. */
  logInSilently(app?: string): Promise<Tokens>
  /** As far as the code. */
  authorize(app?: string): Promise<Code>
  /** Is shown a login page on the session it has; what it returns is the user finishing there. */
  beginLogin(app?: string): () => Promise<Tokens>
  /** Ends the session, and logs it. Refresh tokens outlive it. */
  logOut(named?: Named): void
}

/** The part of Auth0 that is in front of users and applications; all of it is in memory. */
export interface SessionWorld {
  openBrowser(userId: string): Browser
  redeem(code: Code): Tokens
  refresh(tokens: Tokens, app?: string): Promise<Tokens | Denial>
  /** Custom token exchange, with an access token as the subject token. */
  exchangeToken(tokens: Tokens): Promise<Tokens | Denial>
}

/** Auth0 with nobody logged in. */
export function createSessionWorld(options: WorldOptions): SessionWorld {
  const { tenant, told = {}, rotates = false } = options
  const now = () => tenant.now()

  async function run(event: object): Promise<Claims | Denial> {
    if (options.runAction === null) return {}
    const { accessToken, denied } = await options.runAction(event)
    return denied === null ? accessToken : { denied }
  }

  const about = ({ userId }: Session, protocol: string, app: string) => ({
    user: { user_id: userId },
    client: { client_id: app },
    transaction: { protocol },
    request: {},
    secrets: options.secrets,
  })

  async function authorize(session: Session, app: string): Promise<Code> {
    const claims = await run({
      ...about(session, 'oidc-basic-profile', app),
      session: { id: session.id },
      authentication: methodsOf(session),
    })
    if (isDenial(claims)) throw new Error(`a login was refused: ${claims.denied}`)
    return { session, claims }
  }

  const issue = (refreshToken: RefreshToken, claims: Claims): Tokens => {
    const iat = Math.floor(now() / 1000)
    const standard = { sub: refreshToken.session.userId, iat, exp: iat + DAY_SECONDS }
    return { claims: { ...standard, ...claims }, refreshToken }
  }
  const redeem = ({ session, claims }: Code) => issue({ session, createdAt: now() }, claims)

  async function exchange(
    { refreshToken }: Tokens,
    event: object,
    next: RefreshToken,
  ): Promise<Tokens | Denial> {
    const { session } = refreshToken
    const claims = await run({
      ...event,
      ...(told.session && { session: { id: session.id } }),
      ...(told.methods && { authentication: methodsOf(session) }),
    })
    return isDenial(claims) ? claims : issue(next, claims)
  }

  return {
    openBrowser: (userId) => openBrowser({ tenant, userId, authorize, redeem }),
    redeem,
    refresh(tokens, app = 'web') {
      const { refreshToken } = tokens
      const event = {
        ...about(refreshToken.session, 'oauth2-refresh-token', app),
        ...(told.refreshToken && { refresh_token: tell(refreshToken) }),
      }
      const next = rotates ? { ...refreshToken, createdAt: now() } : refreshToken
      return exchange(tokens, event, next)
    },
    exchangeToken(tokens) {
      const { refreshToken } = tokens
      const event = about(refreshToken.session, 'oauth2-token-exchange', 'web')
      return exchange(tokens, event, refreshToken)
    },
  }
}

/** Whether an application got none. */
export function isDenial(answer: object): answer is Denial {
  return 'denied' in answer
}

function methodsOf({ authenticatedAt }: Session) {
  return { methods: [{ name: 'pwd', timestamp: new Date(authenticatedAt).toISOString() }] }
}

function tell({ createdAt, session }: RefreshToken) {
  return { created_at: new Date(createdAt).toISOString(), session_id: session.id }
}

interface BrowserParts {
  tenant: Tenant
  userId: string
  authorize(session: Session, app: string): Promise<Code>
  redeem(code: Code): Tokens
}

function openBrowser({ tenant, userId, authorize, redeem }: BrowserParts): Browser {
  let live: Session | null = null
  const open = () => {
    live = { id: randomUUID(), userId, authenticatedAt: tenant.now() }
    return live
  }
  const current = () => {
    if (live === null) throw new Error('login_required')
    return live
  }
  return {
    logIn: async (app = 'web') => redeem(await authorize(open(), app)),
    logInSilently: async (app = 'web') => redeem(await authorize(current(), app)),
    authorize: (app = 'web') => authorize(current(), app),
    beginLogin(app = 'web') {
      const { id } = current()
      return async () => redeem(await authorize({ id, userId, authenticatedAt: tenant.now() }, app))
    },
    logOut({ user = true, session = true } = {}) {
      const { id: sessionId } = current()
      live = null
      const entry = buildEntry(
        'slo',
        { userId, ...(session && { sessionId }) },
        user ? {} : { user_id: null, user_name: null },
      )
      tenant.write(entry)
    },
  }
}
