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
  /** The paths of the library. */
  callback: string
  login: string
  /** The name of the session's cookie, and the beginning of those of a session that is cut up. */
  cookie: string
  authMethod: ApplicationSettings['authMethod']
  /** The status of `/orders` without a session. */
  refused: number
  env(issuer: string, url: string): Record<string, string>
}

const APPS: App[] = [
  {
    example: 'express-openid-connect',
    callback: '/callback',
    login: '/login',
    cookie: 'appSession',
    authMethod: 'client_secret_basic',
    refused: 302,
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
    refused: 401,
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

  const sessionCookies = () =>
    [...browser.cookies.keys()].filter((name) => name.startsWith(app.cookie))
  const readPage = async () => {
    const response = await browser.request(url)
    return response.status === 200 ? response.text() : ''
  }
  /** Requests a path that needs an access token, after the last one has expired. */
  const requestWithRefresh = async (path: string) => {
    await waitForNextSecond()
    return (await browser.request(`${url}${path}`)).status
  }
  const orders = () => requestWithRefresh('/orders')
  const logIn = async () => {
    await browser.visit(`${url}${app.login}`)
    expect(await readPage()).toContain(LOGIN_USER.userId)
  }
  /** Ends the session of the browser at the tenant, as the logout of another app does. */
  const logOutElsewhere = async () => {
    const response = await browser.visit(`${login.issuer}oidc/logout`)
    expect(await response.text()).toContain('Logged out')
  }
  const waitForEnd = () =>
    expect.poll(async () => (await readPage()).includes(LOGIN_USER.userId), WAIT).toBe(false)

  test('a logout in the log of the tenant ends the session, and the next login works at once', async () => {
    await logIn()
    expect(await orders()).toBe(200)
    await logOutElsewhere()
    await waitForEnd()
    expect(sessionCookies()).toEqual([])
    expect(await orders()).toBe(app.refused)
    await waitForNextSecond()
    await logIn()
    expect(await orders()).toBe(200)
  })

  test('a logout ends a session that is cut into several cookies', async () => {
    action.padding = 'x'.repeat(6_000)
    await logIn()
    expect(sessionCookies().length).toBeGreaterThan(1)
    await logOutElsewhere()
    await waitForEnd()
    expect(sessionCookies()).toEqual([])
  })

  test('a login over a session that was logged out counts as a new login', async () => {
    await logIn()
    await logOutElsewhere()
    await waitForNextSecond()
    await logIn()
    expect(await readPage()).toContain(LOGIN_USER.userId)
  })

  test('a session that a refresh writes back after the logout is ended at the next request', async () => {
    await logIn()
    action.beforeRefresh = logOutElsewhere
    expect(await orders()).toBe(200)
    expect(sessionCookies()).not.toEqual([])
    await waitForEnd()
    expect(sessionCookies()).toEqual([])
  })

  test('a denied refresh ends the session, and an unknown status keeps it', async () => {
    await logIn()
    action.denial = DENIALS.unknown
    expect(await orders()).toBeGreaterThanOrEqual(500)
    expect(await readPage()).toContain(LOGIN_USER.userId)
    action.denial = DENIALS.revoked
    expect(await orders()).toBe(401)
    expect(sessionCookies()).toEqual([])
    expect(await readPage()).not.toContain(LOGIN_USER.userId)
  })

  // A test that is skipped would fail the run of all tests.
  if (app.example === 'nextjs-auth0')
    test('a denied refresh at /auth/access-token ends the session', async () => {
      await logIn()
      expect(await requestWithRefresh('/auth/access-token')).toBe(200)
      action.denial = DENIALS.unknown
      expect(await requestWithRefresh('/auth/access-token')).toBe(401)
      expect(await readPage()).toContain(LOGIN_USER.userId)
      action.denial = DENIALS.revoked
      expect(await requestWithRefresh('/auth/access-token')).toBe(401)
      expect(sessionCookies()).toEqual([])
      expect((await browser.request(`${url}/auth/profile`)).status).toBe(401)
    })
})
