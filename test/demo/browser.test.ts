import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { pino } from 'pino'
import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createDemo, type Demo } from '../../src/demo/demo.js'
import { findBrowser, openBrowser } from '../_support/browser.js'
import { findDisplayProblems } from '../_support/display.js'

/** Storage delay of the simulated tenant, unless a test changes it. */
const LAG_MS = 300
const POLL_INTERVAL_MS = 250
/** A long timeout, for a browser on a busy machine. */
const WAIT = { timeout: 10_000, interval: 20 }

interface Tokens {
  access_token: string
  refresh_token: string
}

const found = findBrowser()
const skip = 'skip' in found ? found.skip : null

describe.skipIf(skip !== null)(`the demo in a browser${skip === null ? '' : ` (${skip})`}`, () => {
  const errors: string[] = []
  let lagMs = LAG_MS
  let demo: Demo
  let browser: Browser
  /** Two browsers of the same user: each context has its own cookies. */
  let mine: Page
  let other: Page
  const openPage = async () => {
    const page = await (await browser.newContext()).newPage()
    page.on('pageerror', (error) => errors.push(error.message))
    return page
  }
  beforeAll(async () => {
    const starting = createDemo({
      env: { PORT: '0' },
      createLog: async () => pino({ level: 'silent' }),
      stop: new AbortController().signal,
      enterprise: true,
      lagMs: () => lagMs,
      pollInterval: `${POLL_INTERVAL_MS}ms`,
    })
    browser = await openBrowser('path' in found ? found.path : '')
    mine = await openPage()
    other = await openPage()
    demo = await starting
  })
  afterAll(async () => {
    await browser.close()
    await demo.close()
  })
  beforeEach(async () => {
    lagMs = LAG_MS
    for (const page of [mine, other]) {
      await page.context().clearCookies()
      await page.goto(demo.pageUrl)
      await page.evaluate('sessionStorage.clear()')
    }
    await mine.goto(demo.pageUrl)
  })
  afterEach(async () => {
    for (const page of [mine, other]) await page.goto('about:blank')
    expect(errors.splice(0)).toEqual([])
  })

  test('the steps lead from a login to the refusal of the kept token, and to a new login', async () => {
    expect(await enabledSteps(mine)).toEqual(['login'])
    await logIn(mine)
    expect(await enabledSteps(mine)).toEqual(['call'])
    await mine.click('#call')
    await expect.poll(() => enabledSteps(mine), WAIT).toEqual(['logout', 'logout-endpoint'])
    expect(await responsesOf(mine)).toEqual([
      'login: a new token',
      'without last-logout: 200 orders A-1001, A-1002',
      'with last-logout: 200 orders A-1001, A-1002',
    ])
    expect(await mine.textContent('#with-text')).toBe('Accepted, until a logout')
    for (const use of ['socket', 'stream'])
      await expect
        .poll(() => stateOf(mine, use), WAIT)
        .toMatch(/^open for \d+\.\d s, [1-9]\d* orders$/)
    const kept = await tokensOf(mine)

    await logOut(mine)
    // The page updates the counter and calls the APIs without a click.
    await expect.poll(() => mine.textContent('#counter'), WAIT).not.toBe('0.0 s')
    await expect.poll(() => mine.textContent('#with-status'), WAIT).toBe('401')
    expect(await mine.textContent('#with-text')).toMatch(/^Refused \d+\.\d s after the logout$/)
    expect(await mine.textContent('#without-status')).toBe('200')
    expect(await mine.textContent('#without-text')).toMatch(
      /^Still accepted, until (tomorrow )?\d\d:\d\d:\d\d$/,
    )
    await expectEnds(mine, demo)
    expect(await measuredColumns(mine, demo)).toEqual(['at Auth0'])
    expect(await mine.textContent('#reached-refusal')).toMatch(/Refused\s+\+\d+\.\d s/)
    await expect
      .poll(() => mine.textContent('#reached-known'), WAIT)
      .toMatch(/Known to last-logout\s+\+\d+\.\d s/)
    const counter = await mine.textContent('#counter')
    expect(`+${counter}`).toBe(await mine.textContent('#reached-refusal span'))
    expect(await mine.textContent('#notice')).toContain('The next step: log in')
    expect((await responsesOf(mine)).at(-1)).toMatch(/^with last-logout: 401 invalid_token: /)
    await expect.poll(() => mine.textContent('#why'), WAIT).toContain('session_ended')
    const refused = await callApi(demo, kept)
    expect(refused.headers.get('www-authenticate')).toMatch(/^Bearer.*error="invalid_token"/)
    // The API without last-logout verifies tokens, too.
    expect((await callApi(demo, { ...kept, access_token: 'x' }, 'api-without')).status).toBe(401)

    expect(await enabledSteps(mine)).toEqual(['again'])
    await logIn(mine)
    expect(await call(mine)).toMatch(/^with last-logout: 200/)
    expect(await refresh(mine)).toBe('refresh: a new token')
    expect(await call(mine)).toMatch(/^with last-logout: 200/)
    await useRefreshToken(mine, kept)
    expect(await refresh(mine)).toMatch(/^refresh: access_denied: last_logout: /)
    expect(await mine.textContent('#notice')).toContain('prompt=login')
    expect(await enabledSteps(mine)).toEqual(['again'])
  }, 60_000)

  test('a logout through last-logout ends every use of the token before the log contains it, and the page compares both ways', async () => {
    await logIn(mine)
    await callAndLogOut(mine)
    await expectEnds(mine, demo)
    await logIn(mine)
    lagMs = 60_000
    await mine.click('#call')
    await closeLogoutEarly(mine)
    await logOut(mine, '#logout-endpoint')
    await expectEnds(mine, demo)
    await expect
      .poll(() => mine.textContent('#known'), WAIT)
      .toMatch(/your session\s*logged out at \d\d:\d\d:\d\d/)
    expect(await measuredColumns(mine, demo)).toEqual(['at Auth0', 'through last-logout'])
    expect(await findDisplayProblems(mine, 'demo')).toEqual([])
  }, 60_000)

  test('the page shows why there is no API behind nginx', async () => {
    const problem = 'nginx is not installed: install it, and start the demo again'
    await mine.route('**/settings.json', async (route) => {
      const settings = await (await route.fetch()).json()
      await route.fulfill({ json: { ...settings, nginx: { problem } } })
    })
    await logIn(mine)
    await callAndLogOut(mine)
    await expect.poll(() => mine.textContent('#with-status'), WAIT).toBe('401')
    expect(await stateOf(mine, 'nginx')).toBe(problem)
    expect(await enabledSteps(mine)).toEqual(['again'])
    await mine.unroute('**/settings.json')
  })

  test('the demo accepts a new login right after the logout, both before and after the logout is known', async () => {
    await logIn(mine)
    const kept = await tokensOf(mine)
    await callAndLogOut(mine)
    await clickMore(mine, '#login-now')
    await chooseUser(mine)
    expect(await call(mine)).toMatch(/^with last-logout: 200/)
    await untilRejected(demo, kept)
    expect(await call(mine)).toMatch(/^with last-logout: 200/)
    expect(await refresh(mine)).toBe('refresh: a new token')
  })

  test('a logout does not affect another browser of the user, and the tenant rejects a silent login without a session', async () => {
    await logIn(mine)
    await other.goto(demo.pageUrl)
    await logIn(other)
    await callAndLogOut(mine)
    await untilRejected(demo, await tokensOf(mine))
    expect(await call(other)).toMatch(/^with last-logout: 200/)
    expect(await refresh(other)).toBe('refresh: a new token')
    expect(await call(other)).toMatch(/^with last-logout: 200/)
    await logInSilently(other)
    expect(await call(other)).toMatch(/^with last-logout: 200/)

    await clickMore(mine, '#silent')
    await mine.waitForURL(`${demo.pageUrl}/`)
    await expect.poll(() => newest(mine), WAIT).toBe('silent login: login_required')
  })

  test('the page shows the changes of its user in order of time, and the changes of other users on request', async () => {
    await logIn(mine)
    await expect.poll(() => mine.textContent('#verdict'), WAIT).toBe('Accepted')
    await expect.poll(() => mine.textContent('#known'), WAIT).toContain('no logout known')
    await expect.poll(() => mine.textContent('#freshness'), WAIT).toMatch(/read up to .* s ago/)
    const lines = mine.locator('#feed li')
    await expect.poll(() => lines.count(), { ...WAIT, timeout: 20_000 }).toBeGreaterThan(1)
    expect(await mine.locator('#feed li.other:visible').count()).toBe(0)
    await mine.check('#show-others')
    expect(await mine.locator('#feed li.other:visible').count()).toBeGreaterThan(0)
    const times = await attributesOf(mine, '#feed li time', 'datetime')
    expect(times).toEqual([...times].sort())
  })

  test('the page copies the token and a command that calls the API, and links documents that exist', async () => {
    await mine.context().grantPermissions(['clipboard-read', 'clipboard-write'])
    await logIn(mine)
    const { access_token } = await tokensOf(mine)
    const readClipboard = () => mine.evaluate('navigator.clipboard.readText()')
    await mine.click('#copy-token')
    await expect.poll(readClipboard, WAIT).toBe(access_token)
    await mine.click('#copy-curl')
    await expect
      .poll(readClipboard, WAIT)
      .toBe(`curl -i -H 'Authorization: Bearer ${access_token}' '${demo.pageUrl}/api/orders'`)
    // `curl --http2` offers an upgrade. The API ignores the offer.
    const headers = {
      authorization: `Bearer ${access_token}`,
      connection: 'Upgrade, HTTP2-Settings',
      upgrade: 'h2c',
      'http2-settings': '',
    }
    const request = get(`${demo.pageUrl}/api/orders`, { headers })
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    response.resume()
    expect(response.statusCode).toBe(200)
    const links = await attributesOf(mine, 'footer a', 'href')
    expect(links.length).toBeGreaterThan(4)
    for (const href of links) {
      const link = new URL(href, `${demo.pageUrl}/`).href
      const headers = { authorization: `Bearer ${demo.key}` }
      const response = await fetch(link, { headers })
      expect({ link, status: response.status }).toEqual({ link, status: 200 })
      await response.body?.cancel()
    }
  })
})

async function logIn(page: Page): Promise<void> {
  await page.click('#login:enabled, #again:enabled')
  await chooseUser(page)
}

/** Chooses a user on the login page of the tenant. */
async function chooseUser(page: Page): Promise<void> {
  await page.click('text=demo-user-1')
  await expect.poll(() => newest(page), WAIT).toBe('login: a new token')
}

async function logInSilently(page: Page): Promise<void> {
  await Promise.all([page.waitForEvent('load', WAIT), clickMore(page, '#silent')])
  await expect.poll(() => newest(page), WAIT).toBe('silent login: a new token')
}

async function callAndLogOut(page: Page, button?: string): Promise<void> {
  await page.click('#call')
  await logOut(page, button)
}

/** Logs out in the window that the page opens. This window closes itself. */
async function logOut(page: Page, button = '#logout'): Promise<void> {
  const before = await tokensOf(page)
  const countLogouts = async () =>
    (await responsesOf(page)).filter((text) => text.startsWith('logout: the session')).length
  const logoutsBefore = await countLogouts()
  const [window] = await Promise.all([page.waitForEvent('popup', WAIT), page.click(button)])
  await expect.poll(() => window.isClosed(), WAIT).toBe(true)
  await expect.poll(countLogouts, WAIT).toBe(logoutsBefore + 1)
  expect(await tokensOf(page)).toEqual(before)
}

/** Closes the window of a logout before the logout. The page then offers the logout again. */
async function closeLogoutEarly(page: Page): Promise<void> {
  await page.context().route('**/oidc/logout?*', (route) => route.abort())
  const [window] = await Promise.all([page.waitForEvent('popup', WAIT), page.click('#logout')])
  expect(await enabledSteps(page)).toEqual([])
  await window.close()
  await expect.poll(() => newest(page), WAIT).toBe('logout: the window was closed')
  await page.context().unroute('**/oidc/logout?*')
  expect(await enabledSteps(page)).toEqual(['logout', 'logout-endpoint'])
}

/** The state of each use of the token after the logout. */
const ENDS = { rest: '401', socket: 'closed 4401 revoked', stream: 'ended' }
/** If nginx is not installed, the page shows advice in place of this state of the API behind nginx. */
const ENDS_WITH_NGINX = { ...ENDS, nginx: '401' }

/** Waits until every use of the token has ended. */
async function expectEnds(page: Page, { nginx }: Demo): Promise<void> {
  if (nginx.url === undefined) expect(await stateOf(page, 'nginx')).toBe(nginx.problem)
  const ends = nginx.url === undefined ? ENDS : ENDS_WITH_NGINX
  for (const [use, end] of Object.entries(ends)) {
    const pattern = new RegExp(`^${end}, \\d+\\.\\d s after the logout$`)
    await expect.poll(() => stateOf(page, use), WAIT).toMatch(pattern)
  }
}

/** Returns the ways to log out for which the page shows, for every use of the token, the seconds until it ended. */
async function measuredColumns(page: Page, { nginx }: Demo): Promise<string[]> {
  const isMeasured = async (column: number) => {
    const rows = nginx.url === undefined ? 'tr:not(#use-nginx)' : 'tr'
    // `nth-child` counts from 1, and the first column contains the names of the uses.
    const cells = page.locator(`#uses tbody ${rows} td:nth-child(${column + 2})`)
    const texts = await cells.allTextContents()
    return texts.length > 0 && texts.every((text) => /^\d+\.\d s$/.test(text))
  }
  const names = ['at Auth0', 'through last-logout']
  const measured = await Promise.all(names.map((_name, column) => isMeasured(column)))
  return names.filter((_name, column) => measured[column])
}

/** Returns the state of a use of the token. */
async function stateOf(page: Page, use: string): Promise<string> {
  return (await page.textContent(`#use-${use} span`)) ?? ''
}

/** Returns the steps whose button is enabled. */
function enabledSteps(page: Page): Promise<string[]> {
  return attributesOf(page, '.steps ol button:enabled', 'id')
}

/** Returns an attribute of each element. */
function attributesOf(page: Page, selector: string, name: string): Promise<string[]> {
  return page.evaluate(
    `[...document.querySelectorAll('${selector}')].map((each) => each.getAttribute('${name}'))`,
  )
}

/** Returns the lines in the list of responses, the newest last. */
function responsesOf(page: Page): Promise<string[]> {
  return page
    .locator('#responses li span')
    .allTextContents()
    .catch(() => [])
}

async function newest(page: Page): Promise<string> {
  return (await responsesOf(page)).at(-1) ?? ''
}

/** Clicks a button of *More to try*. */
async function clickMore(page: Page, button: string): Promise<void> {
  const isOpen = await page.locator('.steps details').getAttribute('open')
  if (isOpen === null) await page.click('.steps summary')
  await page.click(button)
}

/** Clicks a button, waits for this number of new lines in the list of responses, and returns the last line. */
async function click(page: Page, button: string, lines: number): Promise<string> {
  const count = (await responsesOf(page)).length
  await clickMore(page, button)
  await expect.poll(async () => (await responsesOf(page)).length, WAIT).toBe(count + lines)
  return newest(page)
}

const call = (page: Page) => click(page, '#call-now', 2)
const refresh = (page: Page) => click(page, '#refresh', 1)

async function tokensOf(page: Page): Promise<Tokens> {
  return JSON.parse(await page.evaluate("sessionStorage.getItem('tokens')"))
}

async function useRefreshToken(page: Page, { refresh_token }: Tokens): Promise<void> {
  const tokens = JSON.stringify({ ...(await tokensOf(page)), refresh_token })
  await page.evaluate(`sessionStorage.setItem('tokens', ${JSON.stringify(tokens)})`)
}

function callApi({ pageUrl }: Demo, { access_token }: Tokens, path = 'api'): Promise<Response> {
  return fetch(`${pageUrl}/${path}/orders`, {
    headers: { authorization: `Bearer ${access_token}` },
  })
}

async function untilRejected(demo: Demo, tokens: Tokens): Promise<void> {
  await expect.poll(async () => (await callApi(demo, tokens)).status, WAIT).toBe(401)
}
