import { readActionFile } from '../auth0/actions/code.js'
import { loadAction } from '../simulator/run-action.js'
import type { Tenant } from '../simulator/tenant.js'
import { createLogins, type DemoUser } from './logins.js'
import type { OpenServer } from './open-server.js'
import { createProvider } from './provider.js'

const OAUTH_CLIENT = { clientId: 'OrderDeskWebClient00000000000001', clientName: 'Order desk' }

const FIRST_USER = createUser(1)
const USERS: readonly DemoUser[] = [FIRST_USER, createUser(2)]

/** The dependencies of {@link openLogin}. */
export interface LoginDeps {
  tenant: Tenant
  /** The server of the login. */
  login: OpenServer
  /** URL of the page. A login and a logout redirect to this page. */
  pageUrl: string
  /** URL of the API of last-logout, and the key of the login Action. */
  apiUrl: string
  actionKey: string
  /** Whether the login Action receives the fields of Enterprise plans. */
  enterprise: boolean
  /** Receives each line that the Action logs. */
  onLogLine(line: string): void
}

/** What an application needs to know about the tenant's login. `userId` is one of the users who can log in. */
export interface LoginInfo {
  issuer: string
  clientId: string
  userId: string
}

/** Returns the issuer of the tokens of a login. As with Auth0, it ends in a slash. */
export function issuerOf({ url }: OpenServer): string {
  return `${url}/`
}

/** Serves the tenant's login, with the login Action. */
export async function openLogin(deps: LoginDeps): Promise<LoginInfo> {
  const { tenant, login, pageUrl, apiUrl, actionKey, enterprise, onLogLine } = deps
  const secrets = { LAST_LOGOUT_URL: apiUrl, LAST_LOGOUT_API_KEY: actionKey }
  const action = loadAction(await readActionFile(), { now: tenant.now, onLogLine })
  const logins = createLogins({ tenant, client: OAUTH_CLIENT, action, secrets, enterprise })
  const { clientId } = OAUTH_CLIENT
  const issuer = issuerOf(login)
  const provider = createProvider({ issuer, clientId, appUrl: pageUrl, users: USERS, logins })
  login.server.on('request', provider.callback())
  return { issuer, clientId, userId: FIRST_USER.userId }
}

function createUser(number: number): DemoUser {
  return {
    userId: `auth0|demo-user-${number}`,
    userName: `demo-user-${number}@example.com`,
  }
}
