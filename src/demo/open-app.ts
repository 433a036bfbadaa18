import type { Closers } from '../async/closers.js'
import { readActionFile } from '../auth0/actions/code.js'
import { createLastLogoutClient } from '../client/index.js'
import { loadAction } from '../simulator/run-action.js'
import type { Tenant } from '../simulator/tenant.js'
import { serveOrderSocket } from './live-connections.js'
import { createLogins, type DemoUser } from './logins.js'
import { openServer } from './open-server.js'
import { createOrderDesk } from './order-desk.js'
import { AUDIENCE, createProvider } from './provider.js'

/** The preferred ports. If such a port is not free, any free port is used. */
const PORTS = { page: 3000, login: 3001 }

const OAUTH_CLIENT = { clientId: 'OrderDeskWebClient00000000000001', clientName: 'Order desk' }

const FIRST_USER = createUser(1)
const USERS: readonly DemoUser[] = [FIRST_USER, createUser(2)]

/** The dependencies of {@link openApp}. */
export interface DemoAppDeps {
  tenant: Tenant
  /** URL of the API of last-logout. */
  apiUrl: string
  /** API keys of last-logout: `demo` for the page, `action` for the login Action, `app` for the protected API. */
  keys: { demo: string; action: string; app: string }
  /** Whether the login Action receives the fields of Enterprise plans. */
  enterprise: boolean
  /** Receives each line that the Action logs. */
  onLogLine(line: string): void
}

/** The URL of the app, the issuer and audience of its tokens, and one of its users. */
export interface AppInfo {
  pageUrl: string
  issuer: string
  audience: string
  userId: string
}

/** Serves the tenant's login, and an app that uses last-logout. The app consists of a page and a protected API. */
export async function openApp(deps: DemoAppDeps, closers: Closers): Promise<AppInfo> {
  const { tenant, apiUrl, keys, enterprise, onLogLine } = deps
  const lastLogoutClient = createLastLogoutClient({
    url: apiUrl,
    apiKey: keys.app,
    onUnknown: 'deny',
  })
  closers.push(() => lastLogoutClient.close())
  await lastLogoutClient.ready()

  const page = await openServer(PORTS.page)
  closers.push(page.close)
  const login = await openServer(PORTS.login)
  closers.push(login.close)

  const secrets = { LAST_LOGOUT_URL: apiUrl, LAST_LOGOUT_API_KEY: keys.action }
  const action = loadAction(await readActionFile(), { now: tenant.now, onLogLine })
  const logins = createLogins({ tenant, client: OAUTH_CLIENT, action, secrets, enterprise })
  // As with Auth0, the issuer ends in a slash.
  const issuer = `${login.url}/`
  const common = { issuer, clientId: OAUTH_CLIENT.clientId }
  const provider = createProvider({ ...common, appUrl: page.url, users: USERS, logins })
  login.server.on('request', provider.callback())
  const service = { serviceUrl: apiUrl, apiKey: keys.demo }
  page.server.on(
    'request',
    createOrderDesk({ ...common, ...service, client: lastLogoutClient, enterprise }),
  )
  closers.push(serveOrderSocket(page.server, { issuer, client: lastLogoutClient }))
  return { pageUrl: page.url, issuer, audience: AUDIENCE, userId: FIRST_USER.userId }
}

function createUser(number: number): DemoUser {
  return {
    userId: `auth0|demo-user-${number}`,
    userName: `demo-user-${number}@example.com`,
  }
}
