import { createServer } from 'node:http'
import { createLogins, type DemoUser } from '../../src/demo/logins.js'
import { createProvider } from '../../src/demo/provider.js'
import type { Action } from '../../src/simulator/run-action.js'
import type { Tenant } from '../../src/simulator/tenant.js'
import { openLoopback } from './loopback.js'

/** The user who logs in. */
export const LOGIN_USER: DemoUser = {
  userId: 'auth0|demo-user-1',
  userName: 'demo-user-1@example.com',
}

/** The application of the tenant. */
export const APPLICATION = {
  clientId: 'OrderDeskWebClient00000000000001',
  clientSecret: 'a client secret of more than 32 characters',
}

/** The settings of the application. */
export interface ApplicationSettings {
  /** Where the login redirects to. */
  redirectUri: string
  /** Where the logout redirects to. */
  returnTo: string
  /** How the application authenticates (RFC 7591 §2). `none`: it is a public client. */
  authMethod: 'client_secret_basic' | 'client_secret_post' | 'none'
}

/** What the login does. */
interface LoginOptions {
  tenant: Tenant
  action: Action
  /** The secrets of the Action. */
  secrets?: Record<string, string>
  /** Runs at each request of `/oidc/logout`, before the tenant handles it. */
  beforeLogout?: (url: URL) => Promise<void>
  /** What the tenant names as the lifetime of an access token, in seconds. Default: that of the demo. */
  expiresIn?: number
}

/** The login of a simulated tenant: the OpenID provider of the demo, for any application. */
export interface TenantLogin {
  /** The issuer, with a slash at the end. */
  issuer: string
  /** Begins to respond. Earlier requests wait. */
  serve(options: LoginOptions): void
  /** Replaces the settings of the application. */
  register(settings: ApplicationSettings): Promise<void>
  close(): Promise<void>
}

/** Opens a server for the login of a tenant. */
export async function openTenantLogin(): Promise<TenantLogin> {
  let begin: (options: LoginOptions) => void = () => {}
  const options = new Promise<LoginOptions>((resolve) => {
    begin = resolve
  })
  const server = createServer()
  const { port, close } = await openLoopback(server)
  // The library nextjs-auth0 accepts no IP address.
  const issuer = `http://localhost:${port}/`
  const opened = options.then((settings) => openProvider(issuer, settings))
  server.on('request', async (request, response) => {
    const { beforeLogout } = await options
    const url = new URL(request.url ?? '', issuer)
    if (url.pathname === '/oidc/logout') await beforeLogout?.(url)
    await (await opened).callback()(request, response)
  })
  return {
    issuer,
    serve: begin,
    async register({ redirectUri, returnTo, authMethod }) {
      const client = await (await opened).Client.find(APPLICATION.clientId)
      if (client === undefined) throw new Error('the provider does not know the application')
      Object.assign(client, {
        redirectUris: [redirectUri],
        postLogoutRedirectUris: [returnTo],
        tokenEndpointAuthMethod: authMethod,
      })
    },
    close,
  }
}

function openProvider(issuer: string, options: LoginOptions) {
  const { tenant, action, secrets = {}, expiresIn } = options
  const client = { clientId: APPLICATION.clientId, clientName: 'Order desk' }
  const logins = createLogins({ tenant, client, secrets, action, enterprise: false })
  const users = [LOGIN_USER]
  const appUrl = 'http://127.0.0.1'
  const provider = createProvider({ issuer, ...APPLICATION, appUrl, users, logins })
  provider.use(async (ctx, next) => {
    await next()
    const body = ctx.body as { expires_in?: number } | undefined
    if (expiresIn !== undefined && body?.expires_in !== undefined) body.expires_in = expiresIn
  })
  return provider
}
