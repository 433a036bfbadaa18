import type { ClientMetadata } from 'oidc-provider'
import { readActionFile } from '../auth0/actions/code.js'
import { loadAction } from '../simulator/run-action.js'
import type { Tenant } from '../simulator/tenant.js'
import { createSecret } from './configure.js'
import { createLogins, type DemoUser } from './logins.js'
import type { OpenServer } from './open-server.js'
import { createProvider } from './provider.js'

/** The application of the page: a public client. */
const PAGE_CLIENT = { client_id: 'OrderDeskWebClient00000000000001', client_name: 'Order desk' }
/** An application for a program of the visitor: a confidential client (RFC 6749 §2.1). */
const VISITOR_CLIENT = { client_id: 'YourWebAppClient0000000000000002', client_name: 'Your app' }

const FIRST_USER = createUser(1)
const USERS: readonly DemoUser[] = [FIRST_USER, createUser(2)]

/** The dependencies of {@link openLogin}. */
export interface LoginDeps {
  tenant: Tenant
  /** The server of the login. */
  login: OpenServer
  /** URL of the page. A login and a logout redirect to this page. */
  pageUrl: string
  /** URL at which the visitor's application must run. */
  visitorAppUrl: string
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
  /**
   * The application for a program of the visitor. The program must run at `url`, with the callback `/callback`. It can
   * sign its session cookie with `cookieSecret`, which the tenant does not use.
   */
  visitorApp: { url: string; clientId: string; clientSecret: string; cookieSecret: string }
  userId: string
}

/** Returns the issuer of the tokens of a login. As with Auth0, it ends in a slash. */
export function issuerOf({ url }: OpenServer): string {
  return `${url}/`
}

/** Serves the tenant's login, with the login Action. */
export async function openLogin(deps: LoginDeps): Promise<LoginInfo> {
  const { tenant, login, pageUrl, visitorAppUrl, apiUrl, actionKey, enterprise, onLogLine } = deps
  const secrets = { LAST_LOGOUT_URL: apiUrl, LAST_LOGOUT_API_KEY: actionKey }
  const action = loadAction(await readActionFile(), { now: tenant.now, onLogLine })
  const logins = createLogins({ tenant, action, secrets, enterprise })
  const issuer = issuerOf(login)
  const clientSecret = createSecret()
  const clients: ClientMetadata[] = [
    {
      ...PAGE_CLIENT,
      token_endpoint_auth_method: 'none',
      redirect_uris: [`${pageUrl}/`],
      post_logout_redirect_uris: [`${pageUrl}/`, `${pageUrl}/logged-out.html`],
    },
    {
      ...VISITOR_CLIENT,
      client_secret: clientSecret,
      redirect_uris: [`${visitorAppUrl}/callback`],
    },
  ]
  const provider = createProvider({ issuer, clients, users: USERS, logins })
  login.server.on('request', provider.callback())
  const visitorApp = {
    url: visitorAppUrl,
    clientId: VISITOR_CLIENT.client_id,
    clientSecret,
    cookieSecret: createSecret(),
  }
  return { issuer, clientId: PAGE_CLIENT.client_id, visitorApp, userId: FIRST_USER.userId }
}

function createUser(number: number): DemoUser {
  return {
    userId: `auth0|demo-user-${number}`,
    userName: `demo-user-${number}@example.com`,
  }
}
