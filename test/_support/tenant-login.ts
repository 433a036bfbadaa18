import { createServer } from 'node:http'
import { createLogins, type DemoUser } from '../../src/demo/logins.js'
import { createProvider } from '../../src/demo/provider.js'
import type { Action } from '../../src/simulator/run-action.js'
import type { Tenant } from '../../src/simulator/tenant.js'
import { openLoopback } from './loopback.js'

/** The only user of the tenant. */
export const LOGIN_USER: DemoUser = {
  userId: 'auth0|demo-user-1',
  userName: 'demo-user-1@example.com',
}

/** The only application of the tenant. */
export const APPLICATION = {
  clientId: 'OrderDeskWebClient00000000000001',
  clientSecret: 'a client secret of more than 32 characters',
}

/** The settings of the application. */
export interface ApplicationSettings {
  /** The URL to which the browser returns after the login. */
  redirectUri: string
  /** The URL to which the browser returns after the logout. */
  returnTo: string
  /** How the application authenticates to the tenant (RFC 7591 §2). `none`: it has no client secret. */
  authMethod: 'client_secret_basic' | 'client_secret_post' | 'none'
}

/** Options of {@link TenantLogin.serve}. */
interface LoginOptions {
  tenant: Tenant
  /** The login Action. */
  action: Action
  /** The secrets of the Action. */
  secrets?: Record<string, string>
  /** Runs before the tenant handles a request for `/oidc/logout`. */
  beforeLogout?: (url: URL) => Promise<void>
  /** The field `expires_in` of token responses, in seconds. Default: the lifetime of access tokens in the demo. */
  expiresIn?: number
}

/** The login of a simulated tenant. It uses the OpenID provider of the demo, but for an application of the test. */
export interface TenantLogin {
  /** The URL of the issuer, with a slash at the end. */
  issuer: string
  /** Begins to respond. Requests before this call wait for it. */
  serve(options: LoginOptions): void
  /** Replaces the settings of the application. */
  register(settings: ApplicationSettings): Promise<void>
  close(): Promise<void>
}

/** Opens the server for the login. It responds after the first call of `serve`. */
export async function openTenantLogin(): Promise<TenantLogin> {
  let serve: (options: LoginOptions) => void = () => {}
  const served = new Promise<LoginOptions>((resolve) => {
    serve = resolve
  })
  const server = createServer()
  const { port, close } = await openLoopback(server)
  // The host name is `localhost`, because the library nextjs-auth0 does not accept an IP address.
  const issuer = `http://localhost:${port}/`
  const providerCreated = served.then((options) => createLoginProvider(issuer, options))
  server.on('request', async (request, response) => {
    const { beforeLogout } = await served
    const url = new URL(request.url ?? '', issuer)
    if (url.pathname === '/oidc/logout') await beforeLogout?.(url)
    await (await providerCreated).callback()(request, response)
  })
  return {
    issuer,
    serve,
    async register({ redirectUri, returnTo, authMethod }) {
      const client = await (await providerCreated).Client.find(APPLICATION.clientId)
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

function createLoginProvider(issuer: string, options: LoginOptions) {
  const { tenant, action, secrets = {}, expiresIn } = options
  const logins = createLogins({ tenant, secrets, action, enterprise: false })
  const users = [LOGIN_USER]
  const client = {
    client_id: APPLICATION.clientId,
    client_name: 'Order desk',
    client_secret: APPLICATION.clientSecret,
    // `register` replaces it.
    redirect_uris: ['http://127.0.0.1/'],
  }
  const provider = createProvider({ issuer, clients: [client], users, logins })
  provider.use(async (ctx, next) => {
    await next()
    const body = ctx.body as { expires_in?: number } | undefined
    if (expiresIn !== undefined && body?.expires_in !== undefined) body.expires_in = expiresIn
  })
  return provider
}
