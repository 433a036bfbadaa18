import { buildEntry } from '../simulator/entries.js'
import type { Tenant } from '../simulator/tenant.js'
import { type Action, type ActionRun, createActionApi } from './run-action.js'

/** Somebody who can log in to the demo. */
export interface DemoUser {
  userId: string
  userName: string
}

/** What an authorization was granted for. */
interface Login {
  user: DemoUser
  sessionId: string
  /** When the credentials were given; earlier than the grant after a silent login. */
  authenticatedAt: Date
  grantedAt: Date
  run: ActionRun
}

/** A login that has just happened. */
interface NewLogin {
  user: DemoUser
  sessionId: string
  /** Of the session's last login: tells one from the next. */
  loginTs: number
  isSilent: boolean
}

/** What Auth0 does around a token: it runs the Action, and writes the log. */
export interface Logins {
  /** Whoever was authorized by this grant has logged in. */
  logIn(grantId: string, login: NewLogin): Promise<void>
  /** A refresh token of this grant is exchanged. Returns why not; `null`: it may be. */
  refresh(grantId: string): Promise<string | null>
  logOut(user: DemoUser, sessionId: string): void
  /** What the Action added when it last ran for this grant. */
  claimsOf(grantId: string | undefined): Pick<ActionRun, 'accessToken' | 'idToken'>
}

/** How the tenant is made. */
export interface LoginsOptions {
  tenant: Tenant
  client: { clientId: string; clientName: string }
  action: Action
  /** The Action's. */
  secrets: Record<string, string>
  /** Whether the Action is given what only Enterprise plans have. */
  enterprise: boolean
}

/** The logins of a tenant in memory. */
export function createLogins(options: LoginsOptions): Logins {
  const { tenant, client, action, secrets, enterprise } = options
  const logins = new Map<string, Login>()
  const authentications = new Map<string, Date>()

  const write = (type: string, { userId, userName }: DemoUser, sessionId: string) =>
    tenant.write(
      buildEntry(type, { domain: tenant.domain, userId, userName, sessionId, ...client }),
    )
  const runAction = async (login: Omit<Login, 'run'>, protocol: string, fields: object) => {
    const { api, run } = createActionApi()
    const timestamp = login.authenticatedAt.toISOString()
    const event = {
      user: { user_id: login.user.userId },
      client: { client_id: client.clientId, name: client.clientName },
      transaction: { protocol },
      authentication: { methods: [{ name: 'pwd', timestamp }] },
      secrets,
      ...fields,
    }
    await action(event, api)
    return run
  }

  return {
    async logIn(grantId, { user, sessionId, loginTs, isSilent }) {
      const now = new Date(tenant.now())
      const key = `${sessionId} ${loginTs}`
      // The provider counts in seconds, Auth0 in milliseconds.
      const authenticatedAt = authentications.get(key) ?? now
      authentications.set(key, authenticatedAt)
      const login = { user, sessionId, authenticatedAt, grantedAt: now }
      const session = { session: { id: sessionId } }
      logins.set(grantId, { ...login, run: await runAction(login, 'oidc-basic-profile', session) })
      write(isSilent ? 'ssa' : 's', user, sessionId)
    },
    async refresh(grantId) {
      const login = logins.get(grantId)
      if (login === undefined) return 'no such login'
      const { sessionId, grantedAt } = login
      const refreshToken = { created_at: grantedAt.toISOString(), session_id: sessionId }
      const fields = enterprise ? { refresh_token: refreshToken } : {}
      const exchange = await runAction(login, 'oauth2-refresh-token', fields)
      if (exchange.denied !== null) return exchange.denied
      logins.set(grantId, { ...login, run: exchange })
      write('sertft', login.user, sessionId)
      return null
    },
    logOut: (user, sessionId) => void write('slo', user, sessionId),
    claimsOf: (grantId = '') => logins.get(grantId)?.run ?? { accessToken: {}, idToken: {} },
  }
}
