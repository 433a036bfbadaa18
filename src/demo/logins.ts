import { buildEntry } from '../simulator/entries.js'
import { type Action, type ActionRun, createActionApi } from '../simulator/run-action.js'
import type { Tenant } from '../simulator/tenant.js'

/** A user of the demo. */
export interface DemoUser {
  userId: string
  userName: string
}

/** The application that a user logs in to. */
export interface DemoApplication {
  clientId: string
  clientName: string
}

/** A login. The OpenID provider creates a grant for each login, and each token belongs to a grant. */
interface Login {
  user: DemoUser
  application: DemoApplication
  sessionId: string
  /** When the user entered credentials. After a silent login, this is earlier than `grantedAt`. */
  authenticatedAt: Date
  /** When the grant was created. */
  grantedAt: Date
  run: ActionRun
}

/** The fields of a login that a log entry contains. */
type WrittenLogin = Pick<Login, 'user' | 'sessionId'> & { application: DemoApplication | undefined }

/** A login, as the OpenID provider reports it. */
interface NewLogin {
  user: DemoUser
  application: DemoApplication
  sessionId: string
  /**
   * When the user last entered credentials in this session, in Unix seconds. Distinguishes several logins in one
   * session.
   */
  loginTs: number
  isSilent: boolean
}

/**
 * Runs the Action at each login and each exchange of a refresh token. Writes a log entry for each login, exchange and
 * logout.
 */
export interface Logins {
  /** Records the login of a grant, and runs the Action. */
  logIn(grantId: string, login: NewLogin): Promise<void>
  /**
   * Runs the Action for the exchange of a refresh token of this grant.
   *
   * @returns The reason of a denial; `null`: the exchange is allowed.
   */
  refresh(grantId: string): Promise<string | null>
  /** Records a logout. `application`: the application that requested the logout, if the request names it. */
  logOut(user: DemoUser, sessionId: string, application?: DemoApplication): void
  /**
   * Returns the claims of the tokens of this grant without the standard claims: the claims that the last run of the
   * Action added, and `sid`.
   */
  claimsOf(grantId: string | undefined): Pick<ActionRun, 'accessToken' | 'idToken'>
}

/** The options of {@link createLogins}. */
export interface LoginsOptions {
  tenant: Tenant
  action: Action
  /** The secrets of the Action. */
  secrets: Record<string, string>
  /** Whether the Action receives the fields of Enterprise plans. */
  enterprise: boolean
}

/** Creates a record of a tenant's logins. The record is kept in memory. */
export function createLogins(options: LoginsOptions): Logins {
  const { tenant, action, secrets, enterprise } = options
  /** The logins by the id of their grant. */
  const logins = new Map<string, Login>()
  /** When the user entered credentials, by session and `loginTs`. */
  const authentications = new Map<string, Date>()

  const write = (type: string, login: WrittenLogin) => writeEntry(tenant, type, login)
  const runAction = async (login: Omit<Login, 'run'>, protocol: string, fields: object) => {
    const { api, run } = createActionApi()
    const timestamp = login.authenticatedAt.toISOString()
    const event = {
      user: { user_id: login.user.userId },
      client: { client_id: login.application.clientId, name: login.application.clientName },
      transaction: { protocol },
      authentication: { methods: [{ name: 'pwd', timestamp }] },
      secrets,
      ...fields,
    }
    await action(event, api)
    return run
  }

  return {
    async logIn(grantId, { user, application, sessionId, loginTs, isSilent }) {
      const now = new Date(tenant.now())
      const key = `${sessionId} ${loginTs}`
      // `loginTs` contains whole seconds, but Auth0's timestamp has milliseconds. So the time of the first call for a
      // login is stored and used again.
      const authenticatedAt = authentications.get(key) ?? now
      authentications.set(key, authenticatedAt)
      const login = { user, application, sessionId, authenticatedAt, grantedAt: now }
      const session = { session: { id: sessionId } }
      logins.set(grantId, { ...login, run: await runAction(login, 'oidc-basic-profile', session) })
      write(isSilent ? 'ssa' : 's', login)
    },
    async refresh(grantId) {
      const login = logins.get(grantId)
      if (login === undefined) return 'unknown login'
      const { sessionId, grantedAt } = login
      const refreshToken = { created_at: grantedAt.toISOString(), session_id: sessionId }
      const fields = enterprise ? { refresh_token: refreshToken } : {}
      const run = await runAction(login, 'oauth2-refresh-token', fields)
      if (run.denied !== null) return run.denied
      logins.set(grantId, { ...login, run })
      write('sertft', login)
      return null
    },
    logOut: (user, sessionId, application) => write('slo', { user, sessionId, application }),
    claimsOf(grantId = '') {
      const login = logins.get(grantId)
      if (login === undefined) return { accessToken: {}, idToken: {} }
      const { run, sessionId } = login
      // As with Auth0, every ID token names its session.
      return { accessToken: run.accessToken, idToken: { ...run.idToken, sid: sessionId } }
    },
  }
}

/** Writes an entry. Auth0's types are `s` (login), `ssa` (silent login), `sertft` (exchange) and `slo` (logout). */
function writeEntry(
  tenant: Tenant,
  type: string,
  { user, sessionId, application }: WrittenLogin,
): void {
  const subject = { domain: tenant.domain, sessionId, ...user, ...application }
  const withoutClient = { client_id: undefined, client_name: undefined }
  tenant.write(buildEntry(type, subject, application === undefined ? withoutClient : {}))
}
