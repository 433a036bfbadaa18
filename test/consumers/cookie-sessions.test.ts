import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { DENIALS } from '../../src/rules/action-settings.js'
import {
  type CookieAction,
  createCookieAction,
  waitForNextSecond,
} from '../_support/cookie-action.js'
import { type CookieBrowser, openCookieBrowser } from '../_support/cookie-browser.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { copyExample, type Example } from '../_support/examples.js'
import { findUnusedPort } from '../_support/port.js'
import type { ProtectedServer } from '../_support/protected-server.js'
import { type RunningService, runService } from '../_support/running-service.js'
import { KEY } from '../_support/served-api.js'
import {
  APPLICATION,
  type ApplicationSettings,
  LOGIN_USER,
  openTenantLogin,
  type TenantLogin,
} from '../_support/tenant-login.js'
import { WAIT } from '../_support/wait.js'

/** `next build` compiles Next itself. */
const MAX_BUILD_MS = 180_000

const SECRET = 'a secret of at least thirty-two characters'

interface App {
  example: string
  /** The path of the library to which the tenant redirects after a login. */
  callback: string
  /** The path of the library that starts a login. */
  login: string
  /** The name of the session cookie. A long session is cut into several cookies, whose names begin with this name. */
  cookie: string
  authMethod: ApplicationSettings['authMethod']
  /** The status of `/orders` if the request has no session. */
  statusWithoutSession: number
  env(issuer: string, url: string): Record<string, string>
}

const APPS: App[] = [
  {
    example: 'express-openid-connect',
    callback: '/callback',
    login: '/login',
    cookie: 'appSession',
    authMethod: 'client_secret_basic',
    statusWithoutSession: 302,
    env: (issuer, url) => ({
      ISSUER_BASE_URL: issuer,
      BASE_URL: url,
      CLIENT_ID: APPLICATION.clientId,
      CLIENT_SECRET: APPLICATION.clientSecret,
      SECRET,
    }),
  },
  {
    example: 'nextjs-auth0',
    callback: '/auth/callback',
    login: '/auth/login',
    cookie: '__session',
    authMethod: 'client_secret_post',
    statusWithoutSession: 401,
    env: (issuer, url) => ({
      AUTH0_DOMAIN: issuer,
      APP_BASE_URL: url,
      AUTH0_CLIENT_ID: APPLICATION.clientId,
      AUTH0_CLIENT_SECRET: APPLICATION.clientSecret,
      AUTH0_SECRET: SECRET,
    }),
  },
]

let action: CookieAction
let database: TestDatabase
let service: RunningService
beforeAll(async () => {
  database = await createTestDatabase()
  service = await runService({ DATABASE_URL: database.url })
  // When the service has stored the logout of any user, it has read the log of the tenant.
  service.logout('auth0|other')
  await service.waitForLogout('auth0|other')
})
afterAll(async () => {
  await service.close()
  await database.drop()
})
beforeEach(() => {
  action = createCookieAction()
})

describe.each(APPS)('the example $example', (app) => {
  let example: Example
  let login: TenantLogin
  let server: ProtectedServer
  let url: string
  let browser: CookieBrowser
  beforeAll(async () => {
    example = await copyExample(app.example, 'deny')
    login = await openTenantLogin()
    const port = await findUnusedPort()
    url = `http://127.0.0.1:${port}`
    login.serve({
      tenant: service.tenant,
      action: (event, api) => action.run(event, api),
      // An access token expires after a second. The next request then needs a refresh.
      expiresIn: 1,
    })
    const { authMethod } = app
    await login.register({ redirectUri: `${url}${app.callback}`, returnTo: url, authMethod })
    server = await example.start({
      ...app.env(login.issuer, url),
      LAST_LOGOUT_URL: service.url,
      LAST_LOGOUT_API_KEY: KEY,
      PORT: port,
    })
  }, MAX_BUILD_MS)
  afterAll(async () => {
    await server.close()
    await login.close()
    await example.remove()
  })
  beforeEach(() => {
    browser = openCookieBrowser(LOGIN_USER.userId)
  })

  const namesOfSessionCookies = () =>
    [...browser.cookies.keys()].filter((name) => name.startsWith(app.cookie))
  /** Returns the text of the home page, which contains the id of the user of a session. */
  const readPage = async () => {
    const response = await browser.request(url)
    return response.status === 200 ? response.text() : ''
  }
  /** Waits until the access token has expired, then requests a path that needs one. Returns the status. */
  const requestWithRefresh = async (path: string) => {
    await waitForNextSecond()
    return (await browser.request(`${url}${path}`)).status
  }
  const requestOrders = () => requestWithRefresh('/orders')
  const logIn = async () => {
    await browser.visit(`${url}${app.login}`)
    expect(await readPage()).toContain(LOGIN_USER.userId)
  }
  /** Ends the session of the browser at the tenant, as the logout of another app does. */
  const logOutElsewhere = async () => {
    const response = await browser.visit(`${login.issuer}oidc/logout`)
    expect(await response.text()).toContain('Logged out')
  }
  /** Waits until the page no longer shows the user. */
  const waitForEnd = () =>
    expect.poll(async () => (await readPage()).includes(LOGIN_USER.userId), WAIT).toBe(false)

  test('a logout in the log of the tenant ends the session, and the next login works at once', async () => {
    await logIn()
    expect(await requestOrders()).toBe(200)
    await logOutElsewhere()
    await waitForEnd()
    expect(namesOfSessionCookies()).toEqual([])
    expect(await requestOrders()).toBe(app.statusWithoutSession)
    await waitForNextSecond()
    await logIn()
    expect(await requestOrders()).toBe(200)
  })

  test('a logout ends a session that is cut into several cookies', async () => {
    // A cookie holds at most 4,096 bytes.
    action.padding = 'x'.repeat(6_000)
    await logIn()
    expect(namesOfSessionCookies().length).toBeGreaterThan(1)
    await logOutElsewhere()
    await waitForEnd()
    expect(namesOfSessionCookies()).toEqual([])
  })

  test('a login during a session that was logged out elsewhere begins a new session', async () => {
    await logIn()
    await logOutElsewhere()
    await waitForNextSecond()
    await logIn()
    expect(await readPage()).toContain(LOGIN_USER.userId)
  })

  test('if a refresh writes the session back after the logout, the next request ends the session', async () => {
    await logIn()
    action.beforeRefresh = logOutElsewhere
    expect(await requestOrders()).toBe(200)
    expect(namesOfSessionCookies()).not.toEqual([])
    await waitForEnd()
    expect(namesOfSessionCookies()).toEqual([])
  })

  test('a refresh that is denied because of a logout ends the session, but an unknown revocation status keeps the session', async () => {
    await logIn()
    action.denial = DENIALS.unknown
    expect(await requestOrders()).toBeGreaterThanOrEqual(500)
    expect(await readPage()).toContain(LOGIN_USER.userId)
    action.denial = DENIALS.revoked
    expect(await requestOrders()).toBe(401)
    expect(namesOfSessionCookies()).toEqual([])
    expect(await readPage()).not.toContain(LOGIN_USER.userId)
  })

  // The run of all tests fails if a test is skipped, so this test exists only for the example that has the path.
  if (app.example === 'nextjs-auth0')
    test('a denied refresh at /auth/access-token ends the session', async () => {
      await logIn()
      expect(await requestWithRefresh('/auth/access-token')).toBe(200)
      action.denial = DENIALS.unknown
      expect(await requestWithRefresh('/auth/access-token')).toBe(401)
      expect(await readPage()).toContain(LOGIN_USER.userId)
      action.denial = DENIALS.revoked
      expect(await requestWithRefresh('/auth/access-token')).toBe(401)
      expect(namesOfSessionCookies()).toEqual([])
      expect((await browser.request(`${url}/auth/profile`)).status).toBe(401)
    })
})
