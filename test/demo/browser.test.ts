import { pino } from 'pino'
import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createDemo, type Demo } from '../../src/demo/demo.js'
import { findBrowser, openBrowser } from '../_support/browser.js'

/** Storage delay of the simulated tenant. */
const LAG_MS = 1_500
const POLL_INTERVAL_MS = 2_000
/** Maximum time from a logout until its tokens are refused. */
const WINDOW_MS = LAG_MS + POLL_INTERVAL_MS + 2_000

/** A long timeout, for a browser on a busy machine. */
const WAIT = { timeout: 10_000 }

interface Tokens {
  access_token: string
  refresh_token: string
}

const found = findBrowser()
const skip = 'skip' in found ? found.skip : null

/** The kinds of demos. Several tests share one demo of each kind. */
const KINDS = {
  session: { policy: 'session', enterprise: true },
  user: { policy: 'user', enterprise: true },
  plain: { policy: 'user', enterprise: false },
}
type Kind = keyof typeof KINDS

function startDemo({ policy, enterprise }: (typeof KINDS)[Kind]): Promise<Demo> {
  return createDemo({
    env: { POLICY: policy, PORT: '0' },
    createLog: async () => pino({ level: 'silent' }),
    stop: new AbortController().signal,
    enterprise,
    lagMs: () => LAG_MS,
  })
}

describe.skipIf(skip !== null)(`the demo in a browser${skip === null ? '' : ` (${skip})`}`, () => {
  const errors: string[] = []
  const demos = new Map<string, Demo>()
  let browser: Browser
  let pages: { mine: Page; other: Page }
  const openPage = async () => {
    // Each browser context has its own cookies.
    const page = await (await browser.newContext()).newPage()
    page.on('pageerror', (error) => errors.push(error.message))
    return page
  }
  beforeAll(async () => {
    browser = await openBrowser('path' in found ? found.path : '')
    pages = { mine: await openPage(), other: await openPage() }
    const started = Object.entries(KINDS).map(async ([kind, options]) => {
      demos.set(kind, await startDemo(options))
    })
    await Promise.all(started)
  })
  afterAll(async () => {
    await browser.close()
    await Promise.all([...demos.values()].map((demo) => demo.close()))
  })
  afterEach(async () => {
    for (const page of Object.values(pages)) await page.goto('about:blank')
    expect(errors.splice(0)).toEqual([])
  })

  /** Opens the page of a demo, and removes the state of the previous test. */
  const visit = async (page: Page, { pageUrl }: Demo): Promise<Page> => {
    await page.context().clearCookies()
    await page.goto(pageUrl)
    await page.evaluate('sessionStorage.clear()')
    await page.goto(pageUrl)
    return page
  }

  /** Returns `test` with three fixtures: a demo of this kind, and two browser contexts (`mine` and `other`) of the same user. */
  const testWith = (kind: Kind) =>
    test.extend<{ demo: Demo; mine: Page; other: Page }>({
      // biome-ignore lint/correctness/noEmptyPattern: Vitest derives the dependencies of a fixture from it
      demo: async ({}, use) => use(demos.get(kind) as Demo),
      mine: async ({ demo }, use) => use(await visit(pages.mine, demo)),
      other: async ({ demo }, use) => use(await visit(pages.other, demo)),
    })

  describe('with the policy session and Enterprise fields', () => {
    const test = testWith('session')

    test('the demo refuses a kept access token and the old refresh token within the window, and accepts a new login', async ({
      demo,
      mine,
    }) => {
      await logIn(mine)
      expect(await call(mine)).toMatch(/^API: 200 orders/)
      const kept = await tokensOf(mine)

      const loggedOutAt = Date.now()
      await logOut(mine)
      await expect
        .poll(async () => (await callApi(demo, kept)).status, { timeout: WINDOW_MS, interval: 50 })
        .toBe(401)
      expect(Date.now() - loggedOutAt).toBeLessThan(WINDOW_MS)
      const refused = await callApi(demo, kept)
      expect(await refused.json()).toMatchObject({ error: 'invalid_token' })
      expect(refused.headers.get('www-authenticate')).toMatch(/^Bearer.*error="invalid_token"/)
      expect(await call(mine)).toMatch(/^API: 401 invalid_token/)
      expect(await mine.textContent('#notice')).toContain('log in again')
      await expect.poll(() => mine.textContent('#why')).toContain('session_ended')

      await logIn(mine)
      expect(await call(mine)).toMatch(/^API: 200 orders/)
      expect(await refresh(mine)).toBe('refresh: a new token')
      expect(await call(mine)).toMatch(/^API: 200 orders/)
      await useRefreshToken(mine, kept)
      expect(await refresh(mine)).toMatch(/^refresh: access_denied: last_logout: /)
      expect(await mine.textContent('#notice')).toContain('prompt=login')
    })

    test('the demo accepts a new login right after the logout, both before and after the logout is known', async ({
      demo,
      mine,
    }) => {
      await logIn(mine)
      const kept = await tokensOf(mine)
      await logOut(mine)
      await logIn(mine)
      expect(await call(mine)).toMatch(/^API: 200 orders/)
      await untilRejected(demo, kept)
      expect(await call(mine)).toMatch(/^API: 200 orders/)
      expect(await refresh(mine)).toBe('refresh: a new token')
    })

    test('a logout does not affect another browser of the user', async ({ demo, mine, other }) => {
      await logIn(mine)
      await logIn(other)
      await logOut(mine)
      await untilRejected(demo, await tokensOf(mine))
      expect(await call(other)).toMatch(/^API: 200 orders/)
      expect(await refresh(other)).toBe('refresh: a new token')
      expect(await call(other)).toMatch(/^API: 200 orders/)
      await logInSilently(other)
      expect(await call(other)).toMatch(/^API: 200 orders/)
    })

    test('the demo refuses a silent login after the logout with login_required', async ({
      demo,
      mine,
    }) => {
      await logIn(mine)
      await logOut(mine)
      await mine.click('#silent')
      await mine.waitForURL(`${demo.pageUrl}/`)
      await expect.poll(() => newest(mine), WAIT).toBe('silent login: login_required')
    })

    test('the page shows the state of the service and the changes of other users', async ({
      mine,
    }) => {
      await logIn(mine)
      await expect.poll(() => mine.textContent('#verdict')).toBe('Accepted')
      await expect.poll(() => mine.textContent('#known')).toContain('no logout known')
      await expect.poll(() => mine.textContent('#freshness')).toMatch(/read up to .* s ago/)
      await expect
        .poll(() => mine.textContent('#feed'), { timeout: 20_000 })
        .toMatch(/ended|logged out/)
    })
  })

  describe('with the policy user and Enterprise fields', () => {
    const test = testWith('user')

    test('a logout revokes the token of another browser, whose silent login and next refresh are accepted', async ({
      demo,
      mine,
      other,
    }) => {
      await logIn(mine)
      await logIn(other)
      await logOut(mine)
      await untilRejected(demo, await tokensOf(other))
      expect(await call(other)).toMatch(/^API: 401 invalid_token/)
      expect(await refresh(other)).toMatch(/^refresh: access_denied/)
      await logInSilently(other)
      expect(await call(other)).toMatch(/^API: 200 orders/)
      expect(await refresh(other)).toBe('refresh: a new token')
      expect(await call(other)).toMatch(/^API: 200 orders/)
    })
  })

  describe('with the policy user and without Enterprise fields', () => {
    const test = testWith('plain')

    test('the demo accepts a silent login, denies the next refresh, and allows refreshes after a login with prompt=login', async ({
      demo,
      mine,
      other,
    }) => {
      await logIn(mine)
      await logIn(other)
      await logOut(mine)
      await untilRejected(demo, await tokensOf(other))
      await logInSilently(other)
      expect(await call(other)).toMatch(/^API: 200 orders/)
      expect(await refresh(other)).toMatch(/^refresh: access_denied/)
      await logIn(other)
      expect(await refresh(other)).toBe('refresh: a new token')
      expect(await call(other)).toMatch(/^API: 200 orders/)
    })
  })
})

/** Performs clicks that lead to the tenant, and waits until the tenant has redirected the browser back to the page. */
async function leaveAndReturn(page: Page, clicks: () => Promise<void>): Promise<void> {
  await Promise.all([page.waitForEvent('load', { timeout: 10_000 }), clicks()])
}

async function logIn(page: Page): Promise<void> {
  await leaveAndReturn(page, () => page.click('#login'))
  await page.click('text=demo-user-1')
  await expect.poll(() => newest(page), WAIT).toBe('login: a new token')
}

async function logInSilently(page: Page): Promise<void> {
  await leaveAndReturn(page, () => page.click('#silent'))
  await expect.poll(() => newest(page), WAIT).toBe('silent login: a new token')
}

async function logOut(page: Page): Promise<void> {
  const before = await tokensOf(page)
  await leaveAndReturn(page, () => page.click('#logout'))
  await expect.poll(() => newest(page), WAIT).toMatch(/^logout: /)
  expect(await tokensOf(page)).toEqual(before)
}

/** Returns the newest line in the list of responses; an empty string if there is no response yet. */
async function newest(page: Page): Promise<string> {
  const lines = await page
    .locator('#responses li span')
    .allTextContents()
    .catch(() => [])
  return lines[0] ?? ''
}

async function click(page: Page, button: string): Promise<string> {
  const count = await page.locator('#responses li').count()
  await page.click(button)
  await expect.poll(() => page.locator('#responses li').count(), WAIT).toBe(count + 1)
  return newest(page)
}

const call = (page: Page) => click(page, '#call')
const refresh = (page: Page) => click(page, '#refresh')

async function tokensOf(page: Page): Promise<Tokens> {
  return JSON.parse(await page.evaluate("sessionStorage.getItem('tokens')"))
}

async function useRefreshToken(page: Page, { refresh_token }: Tokens): Promise<void> {
  const tokens = JSON.stringify({ ...(await tokensOf(page)), refresh_token })
  await page.evaluate(`sessionStorage.setItem('tokens', ${JSON.stringify(tokens)})`)
}

function callApi({ pageUrl }: Demo, { access_token }: Tokens): Promise<Response> {
  return fetch(`${pageUrl}/api/orders`, { headers: { authorization: `Bearer ${access_token}` } })
}

async function untilRejected(demo: Demo, tokens: Tokens): Promise<void> {
  await expect
    .poll(async () => (await callApi(demo, tokens)).status, { timeout: WINDOW_MS, interval: 50 })
    .toBe(401)
}
