import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { createTenant } from '../../src/simulator/tenant.js'
import { type ControlledFeed, openControlledFeed } from '../_support/controlled-feed.js'
import { openCookieApp } from '../_support/cookie-app.js'
import { type CookieBrowser, openCookieBrowser } from '../_support/cookie-browser.js'
import { WAIT } from '../_support/wait.js'

const USER = { userId: 'auth0|demo-user-1', userName: 'demo-user-1@example.com' }

interface ActionApi {
  idToken: { setCustomClaim(name: string, value: unknown): void }
  access: { deny(reason: string): void }
}

let feed: ControlledFeed
/** What the Action of the test does. `padding` makes the session longer than one cookie. */
let action: { denial: string; padding: string; beforeRefresh(): Promise<void> }

beforeEach(async () => {
  feed = await openControlledFeed()
  action = { denial: '', padding: '', beforeRefresh: async () => {} }
})

/** Opens the provider of the demo, and an app of `express-openid-connect`. Returns the URL of the app. */
async function openApp(session: object = {}): Promise<string> {
  const app = await openCookieApp({
    tenant: createTenant({ domain: 'acme.eu.auth0.com', lagMs: () => 0 }),
    users: [USER],
    secrets: {},
    enterprise: false,
    async action(event, api) {
      const { idToken, access } = api as ActionApi
      const { transaction, session } = event as {
        transaction: { protocol: string }
        session?: { id: string }
      }
      if (session) idToken.setCustomClaim('https://last-logout/session_id', session.id)
      idToken.setCustomClaim('https://last-logout/last_logout', action.padding)
      if (transaction.protocol === 'oauth2-refresh-token') {
        await action.beforeRefresh()
        if (action.denial !== '') access.deny(action.denial)
      }
    },
  })
  onTestFinished(app.close)
  await app.serve(feed.client, session)
  return app.url
}

const openBrowser = () => openCookieBrowser(USER.userId)
const sessionCookiesOf = ({ cookies }: CookieBrowser) =>
  [...cookies.keys()].filter((name) => name.startsWith('appSession'))

const nextSecond = () => new Promise((resolve) => setTimeout(resolve, 1_000 - (Date.now() % 1_000)))

async function waitForLogin(browser: CookieBrowser, url: string) {
  await expect.poll(async () => (await browser.request(url)).status, WAIT).toBe(302)
}

test('a logout ends the session with all its cookies, and the next login works at once', async () => {
  action.padding = 'x'.repeat(6_000)
  const url = await openApp()
  const browser = openBrowser()
  expect(await (await browser.visit(url)).text()).toBe(`orders of ${USER.userId}`)
  expect(sessionCookiesOf(browser).length).toBeGreaterThan(1)
  feed.logOut(USER.userId)
  await waitForLogin(browser, url)
  expect(sessionCookiesOf(browser)).toEqual([])
  await nextSecond()
  expect(await (await browser.visit(url)).text()).toBe(`orders of ${USER.userId}`)
})

test('a login over a session that was logged out counts as a new login', async () => {
  const url = await openApp()
  const browser = openBrowser()
  await browser.visit(url)
  expect((await browser.request(url)).status).toBe(200)
  feed.logOut(USER.userId)
  await nextSecond()
  expect((await browser.visit(`${url}/login`)).status).toBe(200)
  expect((await browser.request(url)).status).toBe(200)
})

test('a session that a refresh writes back after the logout is ended at the next request', async () => {
  const url = await openApp()
  const browser = openBrowser()
  await browser.visit(url)
  action.beforeRefresh = async () => {
    feed.logOut(USER.userId)
    await nextSecond()
  }
  const refreshed = await browser.request(`${url}/refresh`)
  expect(await refreshed.text()).toBe('refreshed')
  expect(sessionCookiesOf(browser)).not.toEqual([])
  await waitForLogin(browser, url)
  expect(sessionCookiesOf(browser)).toEqual([])
})

test('a denied refresh ends the session, and an unknown status keeps it', async () => {
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

test('an unknown revocation status is a 503 that keeps the session', async () => {
  const url = await openApp()
  const browser = openBrowser()
  await browser.visit(url)
  feed.setStale(true)
  await expect.poll(async () => (await browser.request(url)).status, WAIT).toBe(503)
  feed.setStale(false)
  await expect.poll(async () => (await browser.request(url)).status, WAIT).toBe(200)
})

test('a logout ends a session in a store', async () => {
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
  feed.logOut(USER.userId)
  await waitForLogin(browser, url)
  expect(sessions.size).toBe(0)
})
