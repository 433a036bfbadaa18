import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { endDeniedSessions, endLoggedOutSessions } from '../../src/client/express-openid-connect.js'
import { createLogins } from '../../src/demo/logins.js'
import { createProvider } from '../../src/demo/provider.js'
import { createTenant } from '../../src/simulator/tenant.js'
import { type ControlledFeed, openControlledFeed } from '../_support/controlled-feed.js'
import { openCookieBrowser } from '../_support/cookie-browser.js'
import { requireInstalled } from '../_support/installed.js'
import { LOGIN_USER } from '../_support/tenant-login.js'
import { WAIT } from '../_support/wait.js'

const { auth } = requireInstalled('express-openid-connect')

const CLIENT = { clientId: 'client', clientName: 'Order desk' }
const SECRET = 'a secret of at least thirty-two characters'

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

async function listen(): Promise<{ url: string; handle(listener: object): void }> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    handle: (listener) => void server.on('request', listener as never),
  }
}

/** Opens the provider of the demo, and an app of `express-openid-connect` that protects `/`. */
async function openApp(session: object = {}): Promise<string> {
  const [app, issuer] = [await listen(), await listen()]
  const tenant = createTenant({ domain: 'acme.eu.auth0.com', lagMs: () => 0 })
  const logins = createLogins({
    tenant,
    client: CLIENT,
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
  const provider = createProvider({
    issuer: issuer.url,
    clientId: CLIENT.clientId,
    clientSecret: SECRET,
    appUrl: `${app.url}/callback`,
    users: [LOGIN_USER],
    logins,
  })
  issuer.handle(provider.callback())
  const server = express()
  server.use(
    auth({
      issuerBaseURL: issuer.url,
      baseURL: app.url,
      clientID: CLIENT.clientId,
      clientSecret: SECRET,
      secret: SECRET,
      session,
      routes: { callback: '/callback/' },
      authorizationParams: { response_type: 'code', scope: 'openid offline_access' },
      backchannelLogout: endLoggedOutSessions(feed.client),
    }),
  )
  server.get('/refresh', async (req, res) => {
    await (
      req as never as { oidc: { accessToken: { refresh(): Promise<void> } } }
    ).oidc.accessToken.refresh()
    res.send('refreshed')
  })
  server.get('/', (req, res) => {
    res.send(`orders of ${(req as never as { oidc: { user: { sub: string } } }).oidc.user.sub}`)
  })
  server.use(endDeniedSessions())
  app.handle(server)
  return app.url
}

/** A browser, and the cookies of its session. */
function openBrowser() {
  const browser = openCookieBrowser()
  const sessionCookies = () =>
    [...browser.cookies.keys()].filter((name) => name.startsWith('appSession'))
  return { ...browser, sessionCookies }
}

const nextSecond = () => new Promise((resolve) => setTimeout(resolve, 1_000 - (Date.now() % 1_000)))

async function waitForLogin(browser: ReturnType<typeof openBrowser>, url: string) {
  await expect.poll(async () => (await browser.request(url)).status, WAIT).toBe(302)
}

test('a logout ends the session with all its cookies, and the next login works at once', async () => {
  action.padding = 'x'.repeat(6_000)
  const url = await openApp()
  const browser = openBrowser()
  expect(await (await browser.visit(url)).text()).toBe(`orders of ${LOGIN_USER.userId}`)
  expect(browser.sessionCookies().length).toBeGreaterThan(1)
  feed.logOut(LOGIN_USER.userId)
  await waitForLogin(browser, url)
  expect(browser.sessionCookies()).toEqual([])
  await nextSecond()
  expect(await (await browser.visit(url)).text()).toBe(`orders of ${LOGIN_USER.userId}`)
})

test('a login over a session that was logged out counts as a new login', async () => {
  const url = await openApp()
  const browser = openBrowser()
  await browser.visit(url)
  expect((await browser.request(url)).status).toBe(200)
  feed.logOut(LOGIN_USER.userId)
  await nextSecond()
  expect((await browser.visit(`${url}/login`)).status).toBe(200)
  expect((await browser.request(url)).status).toBe(200)
})

test('a session that a refresh writes back after the logout is ended at the next request', async () => {
  const url = await openApp()
  const browser = openBrowser()
  await browser.visit(url)
  action.beforeRefresh = async () => {
    feed.logOut(LOGIN_USER.userId)
    await nextSecond()
  }
  const refreshed = await browser.request(`${url}/refresh`)
  expect(await refreshed.text()).toBe('refreshed')
  expect(browser.sessionCookies()).not.toEqual([])
  await waitForLogin(browser, url)
  expect(browser.sessionCookies()).toEqual([])
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
  expect(browser.sessionCookies()).toEqual([])
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
  feed.logOut(LOGIN_USER.userId)
  await waitForLogin(browser, url)
  expect(sessions.size).toBe(0)
})
