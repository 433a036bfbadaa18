import { readFile } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import { join } from 'node:path'
import { decodeJwt } from 'jose'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { readActionFile } from '../../src/auth0/actions/code.js'
import type { LastLogoutClient } from '../../src/client/index.js'
import { loadAction } from '../../src/simulator/run-action.js'
import { findBrowser, openBrowser } from '../_support/browser.js'
import { openClient } from '../_support/client.js'
import { openCookieBrowser } from '../_support/cookie-browser.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { readExample } from '../_support/documents.js'
import { INSTALLED_DIR, requireInstalled } from '../_support/installed.js'
import { openLoopback } from '../_support/loopback.js'
import { type RunningService, runService } from '../_support/running-service.js'
import { KEY } from '../_support/served-api.js'
import {
  APPLICATION,
  LOGIN_USER,
  openTenantLogin,
  type TenantLogin,
} from '../_support/tenant-login.js'
import { WAIT } from '../_support/wait.js'

const DOCUMENT = 'docs/logout-endpoint.md'
const SECRET = 'a secret of at least thirty-two characters'
const { clientId, clientSecret } = APPLICATION

let database: TestDatabase
let login: TenantLogin
let service: RunningService
let client: LastLogoutClient
/** The logouts that the tenant received: their parameters, and the outcome of a check before the tenant logs them. */
let tenantLogouts: { parameters: URLSearchParams; outcome: string }[] = []
/** The access token of the session that is logged out. */
let accessToken = ''

beforeAll(async () => {
  database = await createTestDatabase()
  login = await openTenantLogin()
  service = await runService({
    DATABASE_URL: database.url,
    LOGOUT_ENDPOINT: 'true',
    TOKEN_ISSUER: login.issuer,
    TOKEN_JWKS_URL: `${login.issuer}.well-known/jwks.json`,
  })
  login.serve({
    tenant: service.tenant,
    action: loadAction(await readActionFile(), { now: Date.now, onLogLine: () => {} }),
    secrets: { LAST_LOGOUT_URL: service.url, LAST_LOGOUT_API_KEY: KEY },
    beforeLogout,
  })
  service.logout('auth0|other')
  await service.waitForLogout('auth0|other')
  client = openClient(service.url)
  await client.ready()
})
afterAll(async () => {
  await client.close()
  await service.close()
  await login.close()
  await database.drop()
})
beforeEach(() => {
  tenantLogouts = []
})

const checkAccessToken = async () => (await client.check(decodeJwt(accessToken))).outcome

/**
 * Waits until the token is revoked, and records the outcome of a check, for `expectLogout`. The tenant has not logged the
 * logout yet, so only the endpoint can have reported it.
 */
async function beforeLogout({ searchParams: parameters }: URL) {
  const revoked = vi.waitFor(async () => expect(await checkAccessToken()).toBe('revoked'), WAIT)
  await revoked.catch(() => {})
  tenantLogouts.push({ parameters, outcome: await checkAccessToken() })
}

/** Serves an app until the test ends. Returns its URL. */
async function serveApp(open: (url: string) => RequestListener): Promise<string> {
  const server = createServer()
  const { url, close } = await openLoopback(server)
  onTestFinished(close)
  server.on('request', open(url))
  return url
}

/** Reads the example of a library in the document, and replaces the addresses by those of the test. */
async function readLogoutCode(heading: string, url: string): Promise<string> {
  const code = await readExample(DOCUMENT, heading, 'js')
  return code
    .replaceAll('https://last-logout.example.com', service.url)
    .replaceAll('https://app.example.com', url)
    .replaceAll('YOUR_CLIENT_ID', clientId)
}

/** Logs in and out with a browser that runs no scripts. Returns the URLs that it visited, and the last response. */
async function logInAndOut(url: string, paths: { login: string; token: string; logout: string }) {
  const browser = openCookieBrowser(LOGIN_USER.userId)
  await browser.visit(`${url}${paths.login}`)
  const { token } = (await (await browser.request(`${url}${paths.token}`)).json()) as {
    token: string
  }
  accessToken = token
  expect(await checkAccessToken()).toBe('accepted')
  const lastResponse = await browser.visit(`${url}${paths.logout}`)
  return { visited: browser.visitedUrls, lastResponse, browser }
}

/** Expects that the endpoint revoked the token, and that the tenant received the parameters that the app sent. */
function expectLogout(sentParameters: URLSearchParams, url: string) {
  expect(tenantLogouts.map(({ outcome }) => outcome)).toEqual(['revoked'])
  expect([...(tenantLogouts[0]?.parameters ?? [])]).toEqual([...sentParameters])
  expect(sentParameters.get('client_id')).toBe(clientId)
  expect(sentParameters.get('post_logout_redirect_uri')).toBe(url)
  expect(decodeJwt(sentParameters.get('id_token_hint') ?? '')).toHaveProperty('sub')
}

/** Returns the parameters of the request to the logout endpoint. */
const parametersAtEndpoint = (visited: URL[]) =>
  visited.find(({ href }) => href.startsWith(`${service.url}/logout`))?.searchParams ??
  new URLSearchParams()

test('express-openid-connect logs out through the endpoint', async () => {
  const { auth } = requireInstalled('express-openid-connect')
  const app = requireInstalled('express')()
  const url = await serveApp(() => app)
  const snippet = await readLogoutCode('express-openid-connect', url)
  app.use(
    auth({
      issuerBaseURL: login.issuer,
      baseURL: url,
      clientID: clientId,
      clientSecret,
      secret: SECRET,
      authRequired: false,
      routes: { logout: false },
      authorizationParams: { response_type: 'code', scope: 'openid' },
    }),
  )
  new Function('app', snippet)(app)
  app.get('/token', (req: TokenRequest, res: { json(body: object): void }) => {
    res.json({ token: req.oidc.accessToken?.access_token })
  })
  app.get('/', (_req: unknown, res: { send(body: string): void }) => res.send('home'))
  await login.register({
    redirectUri: `${url}/callback`,
    returnTo: url,
    authMethod: 'client_secret_basic',
  })
  const paths = { login: '/login', token: '/token', logout: '/logout' }
  const { visited, lastResponse, browser } = await logInAndOut(url, paths)
  expectLogout(parametersAtEndpoint(visited), url)
  expect(await lastResponse.text()).toBe('home')
  expect(browser.cookies.has('appSession')).toBe(false)
})

interface TokenRequest {
  oidc: { accessToken?: { access_token: string } }
}

test('nextjs-auth0 logs out through the endpoint', async () => {
  // The provider has no revocation endpoint. The library warns of that at a logout.
  const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
  onTestFinished(() => warn.mockRestore())
  const { NextRequest } = requireInstalled('next/server.js')
  const { Auth0Client } = requireInstalled('@auth0/nextjs-auth0/server')
  let middleware: (request: Request) => Promise<Response>
  const url = await serveApp((origin) => async (req, res) => {
    const { method, headers } = req
    const request = new NextRequest(`${origin}${req.url}`, { method, headers })
    const response = await middleware(request)
    for (const [name, value] of response.headers) res.appendHeader(name, value)
    res.writeHead(response.status).end(await response.text())
  })
  const auth0 = new Auth0Client({
    domain: login.issuer,
    clientId,
    clientSecret,
    secret: SECRET,
    appBaseUrl: url,
    allowInsecureRequests: true,
  })
  const snippet = await readLogoutCode('@auth0/nextjs-auth0', url)
  // With `return` instead of `export`, the function returns the middleware.
  middleware = new Function('auth0', snippet.replace('export ', 'return '))(auth0)
  await login.register({
    redirectUri: `${url}/auth/callback`,
    returnTo: url,
    authMethod: 'client_secret_post',
  })
  const paths = { login: '/auth/login', token: '/auth/access-token', logout: '/auth/logout' }
  const { visited, lastResponse, browser } = await logInAndOut(url, paths)
  expectLogout(parametersAtEndpoint(visited), url)
  expect(lastResponse.url).toBe(`${url}/`)
  expect(browser.cookies.has('__session')).toBe(false)
})

const browserSearch = findBrowser()
const skipReason = 'skip' in browserSearch ? browserSearch.skip : null

describe.skipIf(skipReason !== null)(
  `auth0-spa-js in a browser${skipReason === null ? '' : ` (${skipReason})`}`,
  () => {
    let browser: Browser
    beforeAll(async () => {
      browser = await openBrowser('path' in browserSearch ? browserSearch.path : '')
    })
    afterAll(() => browser.close())

    test('auth0-spa-js logs out through the endpoint', async () => {
      const library = join(
        INSTALLED_DIR,
        'node_modules/@auth0/auth0-spa-js/dist/auth0-spa-js.production.js',
      )
      const script = await readFile(library, 'utf8')
      let pageHtml = ''
      const url = await serveApp(() => (req, res) => {
        const isScript = req.url === '/auth0-spa-js.js'
        res.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
        res.end(isScript ? script : pageHtml)
      })
      pageHtml = createPage(await readLogoutCode('auth0-spa-js', url))
      await login.register({ redirectUri: url, returnTo: url, authMethod: 'none' })
      const tab = await (await browser.newContext()).newPage()
      const logoutUrls: URL[] = []
      tab.on('request', (request) => {
        if (request.url().startsWith(`${service.url}/logout`))
          logoutUrls.push(new URL(request.url()))
      })
      await tab.goto(url)
      await tab.click('#login')
      await tab.click('button[name=user]')
      await tab.waitForSelector('#token:not(:empty)', { state: 'attached' })
      accessToken = (await tab.textContent('#token')) ?? ''
      expect(await checkAccessToken()).toBe('accepted')
      await tab.click('#logout')
      await tab.waitForURL((address) => address.origin === url && tenantLogouts.length > 0)
      await tab.close()
      expectLogout(logoutUrls[0]?.searchParams ?? new URLSearchParams(), url)
    })
  },
)

/** Returns a page with a login, a logout by the example of the document, and the access token of the user. */
function createPage(snippet: string): string {
  const options = JSON.stringify({ domain: login.issuer.replace(/\/$/, ''), clientId })
  return `<!doctype html>
<button id="login">Log in</button><button id="logout">Log out</button><p id="token"></p>
<script src="/auth0-spa-js.js"></script>
<script type="module">
  const authorizationParams = { redirect_uri: window.location.origin }
  const auth0 = await window.auth0.createAuth0Client({ ...${options}, authorizationParams })
  document.querySelector('#login').onclick = () => auth0.loginWithRedirect()
  document.querySelector('#logout').onclick = async () => {
    ${snippet}
  }
  if (window.location.search.includes('code=')) {
    await auth0.handleRedirectCallback()
    window.history.replaceState({}, '', '/')
    document.querySelector('#token').textContent = await auth0.getTokenSilently()
  }
</script>`
}
