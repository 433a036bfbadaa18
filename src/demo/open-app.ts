import type { Closers } from '../async/closers.js'
import { readActionFile } from '../auth0/actions/code.js'
import { createLastLogoutClient } from '../client/index.js'
import type { Tenant } from '../simulator/tenant.js'
import { listen } from './listen.js'
import { createLogins, type DemoUser } from './logins.js'
import { createOrderDesk } from './order-desk.js'
import { AUDIENCE, createProvider } from './provider.js'
import { loadAction } from './run-action.js'

/** The ports that are tried first. */
const PORTS = { page: 3000, login: 3001 }

const CLIENT = { clientId: 'OrderDeskWebClient00000000000001', clientName: 'Order desk' }

const USERS: readonly DemoUser[] = [1, 2].map((n) => ({
  userId: `auth0|demo-user-${n}`,
  userName: `demo-user-${n}@example.com`,
}))

/** What the demo's app stands on. */
export interface AppParts {
  tenant: Tenant
  /** Where last-logout is served. */
  apiUrl: string
  /** Of last-logout: the live view's, the Action's and the protected API's. */
  keys: { demo: string; action: string; app: string }
  /** Whether logins are given what only Enterprise plans have. */
  enterprise: boolean
  /** Takes what the Action says. */
  say(line: string): void
}

/** Where the app is, and whom its tokens are from. */
export interface OpenApp {
  pageUrl: string
  issuer: string
  audience: string
}

/**
 * Serves the tenant's login, and an app with a page and an API, as a user of last-logout has them.
 */
export async function openApp(parts: AppParts, closers: Closers): Promise<OpenApp> {
  const { tenant, apiUrl, keys, enterprise, say } = parts
  const client = createLastLogoutClient({ url: apiUrl, apiKey: keys.app, onUnknown: 'deny' })
  closers.push(() => client.close())
  await client.ready()

  const page = await listen(PORTS.page)
  closers.push(page.close)
  const login = await listen(PORTS.login)
  closers.push(login.close)

  const secrets = { LAST_LOGOUT_URL: apiUrl, LAST_LOGOUT_API_KEY: keys.action }
  const action = loadAction(await readActionFile(), { now: tenant.now, say })
  const logins = createLogins({ tenant, client: CLIENT, action, secrets, enterprise })
  // As Auth0's, with a slash at the end.
  const issuer = `${login.url}/`
  const common = { issuer, clientId: CLIENT.clientId }
  const provider = createProvider({ ...common, appUrl: page.url, users: USERS, logins })
  login.server.on('request', provider.callback())
  const service = { serviceUrl: apiUrl, apiKey: keys.demo }
  page.server.on('request', createOrderDesk({ ...common, ...service, client, enterprise }))
  return { pageUrl: page.url, issuer, audience: AUDIENCE }
}
