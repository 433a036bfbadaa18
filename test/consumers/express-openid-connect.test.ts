import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { createTenant } from '../../src/simulator/tenant.js'
import { type ControlledFeed, openControlledFeed } from '../_support/controlled-feed.js'
import {
  type CookieAction,
  createCookieAction,
  waitForNextSecond,
} from '../_support/cookie-action.js'
import { openCookieApp } from '../_support/cookie-app.js'
import { type CookieBrowser, openCookieBrowser } from '../_support/cookie-browser.js'
import { LOGIN_USER } from '../_support/tenant-login.js'
import { WAIT } from '../_support/wait.js'

let feed: ControlledFeed
let action: CookieAction

beforeEach(async () => {
  feed = await openControlledFeed()
  action = createCookieAction()
})

/** Opens the login of a simulated tenant, and an app with `express-openid-connect`. Returns the URL of the app. */
async function openApp(session: object = {}): Promise<string> {
  const app = await openCookieApp({
    tenant: createTenant({ domain: 'acme.eu.auth0.com', lagMs: () => 0 }),
    users: [LOGIN_USER],
    secrets: {},
    enterprise: false,
    action: (event, api) => action.run(event, api),
  })
  onTestFinished(app.close)
  await app.serve(feed.client, session)
  return app.url
}

const openBrowser = () => openCookieBrowser(LOGIN_USER.userId)
const sessionCookiesOf = ({ cookies }: CookieBrowser) =>
  [...cookies.keys()].filter((name) => name.startsWith('appSession'))

/** Waits until the app redirects the browser to the login, because the session has ended. */
async function waitForRedirectToLogin(browser: CookieBrowser, url: string) {
  await expect.poll(async () => (await browser.request(url)).status, WAIT).toBe(302)
}

test('a logout ends the session with all its cookies, and the next login works at once', async () => {
  // A cookie holds at most 4,096 bytes, so this session needs several cookies.
  action.padding = 'x'.repeat(6_000)
  const url = await openApp()
  const browser = openBrowser()
  expect(await (await browser.visit(url)).text()).toBe(`orders of ${LOGIN_USER.userId}`)
  expect(sessionCookiesOf(browser).length).toBeGreaterThan(1)
  feed.logOut(LOGIN_USER.userId)
  await waitForRedirectToLogin(browser, url)
  expect(sessionCookiesOf(browser)).toEqual([])
  await waitForNextSecond()
  expect(await (await browser.visit(url)).text()).toBe(`orders of ${LOGIN_USER.userId}`)
})

test('a login during a session that was logged out begins a new session', async () => {
  const url = await openApp()
  const browser = openBrowser()
  await browser.visit(url)
  expect((await browser.request(url)).status).toBe(200)
  feed.logOut(LOGIN_USER.userId)
  await waitForNextSecond()
  expect((await browser.visit(`${url}/login`)).status).toBe(200)
  expect((await browser.request(url)).status).toBe(200)
})

test('if a refresh writes the session back after the logout, the next request ends the session', async () => {
  const url = await openApp()
  const browser = openBrowser()
  await browser.visit(url)
  action.beforeRefresh = async () => {
    feed.logOut(LOGIN_USER.userId)
    await waitForNextSecond()
  }
  const refreshed = await browser.request(`${url}/refresh`)
  expect(await refreshed.text()).toBe('refreshed')
  expect(sessionCookiesOf(browser)).not.toEqual([])
  await waitForRedirectToLogin(browser, url)
  expect(sessionCookiesOf(browser)).toEqual([])
})

test('a refresh that is denied because of a logout ends the session, but an unknown revocation status keeps the session', async () => {
  const url = await openApp()
  const browser = openBrowser()
  await browser.visit(url)
  action.denial = 'last_logout: the revocation status of the session is unavailable'
  expect((await browser.request(`${url}/refresh`)).status).toBe(503)
  expect((await browser.request(url)).status).toBe(200)
  action.denial = 'last_logout: the session was logged out'
  expect((await browser.request(`${url}/refresh`)).status).toBe(401)
  expect(sessionCookiesOf(browser)).toEqual([])
})

test('the app responds with 503 while the revocation status is unknown, and keeps the session', async () => {
  const url = await openApp()
  const browser = openBrowser()
  await browser.visit(url)
  feed.setStale(true)
  await expect.poll(async () => (await browser.request(url)).status, WAIT).toBe(503)
  feed.setStale(false)
  await expect.poll(async () => (await browser.request(url)).status, WAIT).toBe(200)
})

test('a logout ends a session that the app keeps in a store', async () => {
  const sessions = new Map<string, unknown>()
  type Callback = (error: unknown, value?: unknown) => void
  const store = {
    get: (id: string, callback: Callback) => callback(null, sessions.get(id)),
    set: (id: string, value: unknown, callback: Callback) => {
      sessions.set(id, structuredClone(value))
      callback(null)
    },
    destroy: (id: string, callback: Callback) => {
      sessions.delete(id)
      callback(null)
    },
  }
  const url = await openApp({ store })
  const browser = openBrowser()
  await browser.visit(url)
  expect(sessions.size).toBe(1)
  feed.logOut(LOGIN_USER.userId)
  await waitForRedirectToLogin(browser, url)
  expect(sessions.size).toBe(0)
})
