import { createServer } from 'node:http'
import express from 'express'
import type { LastLogoutClient } from '../../src/client/index.js'
import { createLogins, type Logins, type LoginsOptions } from '../../src/demo/logins.js'
import { createProvider, type ProviderOptions } from '../../src/demo/provider.js'
import { readExample } from './documents.js'
import { requireInstalled } from './installed.js'
import { openLoopback } from './loopback.js'
import { runSnippet } from './run-snippet.js'

const { auth } = requireInstalled('express-openid-connect')

export const APP_CLIENT = { clientId: 'client', clientName: 'Order desk' }
export const APP_SECRET = 'a secret of at least thirty-two characters'

/** Options of {@link openCookieApp}. They configure the provider. */
export type CookieAppOptions = Pick<LoginsOptions, 'tenant' | 'action' | 'secrets' | 'enterprise'> &
  Pick<ProviderOptions, 'users'>

/** The OpenID provider of the demo, and an app that logs its users in with `express-openid-connect`. */
export interface CookieApp {
  url: string
  issuer: string
  logins: Logins
  /** Makes the app respond. `session` contains session options of `express-openid-connect`. */
  serve(client: LastLogoutClient, session?: object): Promise<void>
  close(): Promise<void>
}

/** The property `oidc` that `express-openid-connect` adds to a request. */
interface Oidc {
  idToken: string
  refreshToken: string
  user: { sub: string }
  accessToken: { access_token: string; refresh(): Promise<void> }
}

/**
 * Opens the provider and the app. Every path of the app needs a login: `/` shows the user, `/tokens` shows the tokens
 * of the session, and `/refresh` exchanges the refresh token of the session.
 */
export async function openCookieApp(options: CookieAppOptions): Promise<CookieApp> {
  const [app, provider] = [createServer(), createServer()]
  const [appServer, providerServer] = [await openLoopback(app), await openLoopback(provider)]
  const { url } = appServer
  const issuer = providerServer.url
  const logins = createLogins(options)
  provider.on(
    'request',
    createProvider({
      issuer,
      clients: [
        {
          client_id: APP_CLIENT.clientId,
          client_name: APP_CLIENT.clientName,
          client_secret: APP_SECRET,
          redirect_uris: [`${url}/callback`],
        },
      ],
      users: options.users,
      logins,
    }).callback(),
  )
  return {
    url,
    issuer,
    logins,
    async serve(client, session = {}) {
      app.on('request', await createApp(url, issuer, client, session))
    },
    async close() {
      await appServer.close()
      await providerServer.close()
    },
  }
}

/** Creates an app with the example of docs/cookie-sessions.md. */
async function createApp(url: string, issuer: string, client: LastLogoutClient, session: object) {
  const app = express()
  const testOptions = {
    issuerBaseURL: issuer,
    baseURL: url,
    clientID: APP_CLIENT.clientId,
    clientSecret: APP_SECRET,
    secret: APP_SECRET,
    session,
    authorizationParams: { response_type: 'code', scope: 'openid offline_access' },
  }
  const example = await readExample('docs/cookie-sessions.md', 'express-openid-connect', 'js')
  await runSnippet(example.replace('// … your routes', 'addRoutes()'), {
    app,
    client,
    auth: (options: object) => auth({ ...testOptions, ...options }),
    addRoutes: () => addRoutes(app),
  })
  return app
}

function addRoutes(app: express.Express): void {
  const oidcOf = (req: object) => (req as { oidc: Oidc }).oidc
  app.get('/refresh', async (req, res) => {
    await oidcOf(req).accessToken.refresh()
    res.send('refreshed')
  })
  app.get('/tokens', (req, res) => {
    const { accessToken, idToken, refreshToken } = oidcOf(req)
    res.json({ accessToken: accessToken.access_token, idToken, refreshToken })
  })
  app.get('/', (req, res) => {
    res.send(`orders of ${oidcOf(req).user.sub}`)
  })
}
