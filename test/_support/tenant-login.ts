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

/** What an application of the tenant looks like. */
export interface LoginOptions {
  tenant: Tenant
  /** Where the login redirects to. */
  redirectUri: string
  /** Where the logout redirects to. */
  returnTo: string
  /** How the application authenticates (RFC 7591 §2). `none`: it is a public client. */
  authMethod: 'client_secret_basic' | 'client_secret_post' | 'none'
  action: Action
  /** The secrets of the Action. */
  secrets?: Record<string, string>
  /** What the tenant names as the lifetime of an access token, in seconds. Default: that of the demo. */
  expiresIn?: number
}

/** The login of a simulated tenant: the OpenID provider of the demo, for any application. */
export interface TenantLogin {
  /** The issuer, with a slash at the end. */
  issuer: string
  /** The address of `/oidc/logout` for each request there. */
  logouts: URL[]
  serve(options: LoginOptions): Promise<void>
  close(): Promise<void>
}

/** Opens a server for the login of a tenant. */
export async function openTenantLogin(): Promise<TenantLogin> {
  const server = createServer()
  const { port, close } = await openLoopback(server)
  // The library nextjs-auth0 accepts no IP address.
  const issuer = `http://localhost:${port}/`
  const logouts: URL[] = []
  return {
    issuer,
    logouts,
    async serve(options) {
      const provider = await createApplicationProvider(issuer, options)
      const handle = provider.callback()
      server.on('request', (request, response) => {
        const url = new URL(request.url ?? '', issuer)
        if (url.pathname === '/oidc/logout') logouts.push(url)
        void handle(request, response)
      })
    },
    close,
  }
}

async function createApplicationProvider(issuer: string, options: LoginOptions) {
  const { tenant, redirectUri, returnTo, authMethod, action, secrets = {}, expiresIn } = options
  const { clientId, clientSecret } = APPLICATION
  const client = { clientId, clientName: 'Order desk' }
  const logins = createLogins({ tenant, client, secrets, action, enterprise: false })
  const provider = createProvider({
    issuer,
    clientId,
    ...(authMethod !== 'none' && { clientSecret }),
    appUrl: returnTo,
    users: [LOGIN_USER],
    logins,
  })
  // The demo's application has its callback at `/`.
  Object.assign((await provider.Client.find(clientId)) ?? {}, {
    redirectUris: [redirectUri],
    postLogoutRedirectUris: [returnTo],
    tokenEndpointAuthMethod: authMethod,
  })
  if (expiresIn !== undefined) {
    provider.use(async (ctx, next) => {
      await next()
      const body = ctx.body as { expires_in?: number } | undefined
      if (ctx.path === '/oauth/token' && body?.expires_in !== undefined) body.expires_in = expiresIn
    })
  }
  return provider
}
