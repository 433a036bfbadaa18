import type { Browser, Page } from 'playwright-core'
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  onTestFinished,
  test,
} from 'vitest'
import { buildEntry } from '../../src/simulator/entries.js'
import { findBrowser, openBrowser } from '../_support/browser.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { findDisplayProblems } from '../_support/display.js'
import { openProxy } from '../_support/proxy.js'
import { startRedis, type TestRedis } from '../_support/redis.js'
import { type RunningService, runService } from '../_support/running-service.js'

// The API keys of three callers. Only the key of the operator has all roles that the console needs.
const OPERATOR_KEY = 'an-operator-of-more-than-32-characters'
const SCRAPER_KEY = 'a-scraper-of-more-than-32-characters'
const SUBSCRIBER_KEY = 'a-subscriber-of-more-than-32-characters'

/** Options of `expect.poll`, in milliseconds. The console updates its data every five seconds. */
const WAIT = { timeout: 15_000, interval: 20 }
/** Like `WAIT`, for an outage of Redis or PostgreSQL. Timeouts and retries delay the display of its start and end. */
const OUTAGE_WAIT = { ...WAIT, timeout: 40_000 }

/** A JavaScript expression that returns the id of the focused element or, if it has no id, its tag name. */
const FOCUSED_ELEMENT = 'document.activeElement.id || document.activeElement.tagName.toLowerCase()'

const DAY_MS = 86_400_000

/** Returns a script that sets the clock of a page this many milliseconds ahead. */
const shiftClock = (aheadMs: number) => `
  const RealDate = Date
  globalThis.Date = class extends RealDate {
    constructor(...args) {
      super(...(args.length === 0 ? [Date.now()] : args))
    }
    static now() {
      return RealDate.now() + ${aheadMs}
    }
  }`

let database: TestDatabase
/** A proxy between the service and PostgreSQL. */
let proxy: Awaited<ReturnType<typeof openProxy>>
let redis: TestRedis
let service: RunningService
let browser: Browser
let page: Page
/** Exceptions of the page, and the errors that it logs. The list is empty after each test. */
const pageErrors: string[] = []

beforeAll(async () => {
  const foundBrowser = findBrowser()
  if ('skip' in foundBrowser) throw new Error(foundBrowser.skip)
  const startedRedis = await startRedis({ forceNew: true })
  if ('skip' in startedRedis) throw new Error(startedRedis.skip)
  redis = startedRedis
  database = await createTestDatabase()
  proxy = await openProxy(database.url)
  service = await runService({
    DATABASE_URL: proxy.url,
    REDIS_URL: redis.url,
    API_KEYS: `operator:${OPERATOR_KEY}:read+metrics,scraper:${SCRAPER_KEY}:metrics,subscriber:${SUBSCRIBER_KEY}:feed`,
    POLL_INTERVAL: '1s',
  })
  for (const userId of ['auth0|1', 'auth0|2', 'auth0|3']) service.logout(userId)
  // A logout that names neither a user nor a session is stored as unattributable.
  service.tenant.write(buildEntry('slo', {}, { user_id: null, details: undefined }))
  // A gap is a span of time whose log entries Auth0 deleted before the service read them.
  await database.query(
    `INSERT INTO gap (from_at, to_at, reason) VALUES
     (now() - interval '60 days', now() - interval '50 days', 'retention')`,
  )
  browser = await openBrowser(foundBrowser.path)
})
afterAll(async () => {
  await browser?.close()
  await service?.close()
  await proxy?.close()
  await database?.drop()
  await redis?.stop()
})
beforeEach(async () => {
  page = await (await browser.newContext()).newPage()
  page.on('pageerror', (error) => pageErrors.push(error.message))
  page.on('console', (message) => {
    // The browser logs an error for each response with an error status. Tests cause such responses.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
      pageErrors.push(message.text())
    }
  })
  await page.goto(`${service.url}/console`)
})
afterEach(async () => {
  await page.context().close()
  expect(pageErrors.splice(0)).toEqual([])
})

/** Enters a key in the form of the console. */
async function enterKey(key: string): Promise<void> {
  await page.fill('#key', key)
  await page.press('#key', 'Enter')
}

/** Enters the key of the operator, and waits for the data. */
async function unlockConsole(): Promise<void> {
  await enterKey(OPERATOR_KEY)
  await expect.poll(() => page.textContent('#health'), WAIT).toBe('Healthy')
}

/** Returns a function that reads the text of an element, for `expect.poll`. */
const textReader = (selector: string) => () => page.textContent(selector)

/** Waits until the console shows that the health is unknown, for this reason, and that it still shows the last data. */
async function expectUnknown(reason: string): Promise<void> {
  await expect.poll(textReader('#health'), OUTAGE_WAIT).toBe('Unknown')
  expect(await page.textContent('#problems')).toBe(`${reason} All below is as of the last update.`)
  expect(await page.textContent('#freshness')).toMatch(/read up to\s*\d/)
}

describe('the console in a browser', () => {
  test('the console shows the freshness, the lag, the logouts, the gaps, the schedule in Redis and the number of subscribers, and has no accessibility problem', async () => {
    const subscription = await fetch(`${service.url}/v1/changes`, {
      headers: { authorization: `Bearer ${SUBSCRIBER_KEY}`, accept: 'text/event-stream' },
    })
    expect(subscription.status).toBe(200)
    await unlockConsole()
    expect(await page.textContent('#logouts')).toContain('with a last logout')
    expect(await page.textContent('#logouts')).toMatch(
      // `none` is also correct, because the worker may not have read the unattributable entry yet.
      /unattributable(none|1 no_subject)/,
    )
    expect(await page.textContent('#freshness')).toMatch(/read up to\s*\d\d:\d\d:\d\d/)
    expect(await page.textContent('#lag-summary')).toMatch(/^The lag is \d+\.\d s now/)
    expect(await page.textContent('#lag-since')).toMatch(/^Recorded since \d\d:\d\d:\d\d, when /)
    expect(await page.locator('#lag-plot canvas').count()).toBe(1)
    // The gap is over, because all tokens from that time have expired.
    expect(await page.textContent('#gaps')).toMatch(
      /^\d+ \w+ \d{4} .* to .*: deleted before it was read; over: every token/,
    )
    expect(await page.textContent('#jobs-note')).toMatch(
      /^From the queue in Redis, read at \d\d:\d\d:\d\d\.$/,
    )
    // The schedule is read every 10 s, so the next poll can be in the past. This is no reason to call it overdue.
    expect(await page.textContent('#jobs')).toMatch(/poll\s*every 1\.0 s, next \d\d:/)
    await expect.poll(textReader('#subscribers'), WAIT).toBe('1')
    await subscription.body?.cancel()
    await expect.poll(textReader('#subscribers'), WAIT).toBe('0')
    expect(await findDisplayProblems(page, 'console')).toEqual([])
  }, 60_000)

  test('the console looks up a user, explains whether claims or a token are revoked, and does not send the token', async () => {
    // `logout` uses the id of the user also as the id of the ended session.
    service.logout('auth0|look-up')
    await unlockConsole()
    await page.fill('#user-id', 'auth0|look-up')
    await page.fill('#session-id', 'auth0|look-up')
    await expect
      .poll(async () => {
        await page.press('#user-id', 'Enter')
        return page.textContent('#user-status')
      }, WAIT)
      .toBe('The user has logged out.')
    expect(await page.textContent('#user')).toMatch(/session\s*ended/)

    const claims = { sub: 'auth0|look-up', sid: 'auth0|look-up', iat: 1_795_000_000 }
    await page.fill('#claims', JSON.stringify(claims))
    await page.click('#claims-form button')
    await expect
      .poll(textReader('#verdict'), WAIT)
      .toBe('Revoked: Auth0 has ended the session of the token')
    // The explanation lists the logouts that apply to the token, and marks the one that revokes it.
    expect(await page.textContent('#explanation strong')).toContain('(decisive)')
    expect(await findDisplayProblems(page, 'console-lookups')).toEqual([])

    // The payload of a token is JSON in Base64url. The letter å shows that the console decodes it as UTF-8.
    const payload = Buffer.from(JSON.stringify({ ...claims, sub: 'auth0|å' })).toString('base64url')
    const sentRequests: string[] = []
    page.on('request', (request) => sentRequests.push(`${request.url()} ${request.postData()}`))
    await page.fill('#claims', `header.${payload}.signature`)
    await page.click('#claims-form button')
    await expect.poll(textReader('#explanation'), WAIT).toContain('auth0|å')
    expect(sentRequests.join()).not.toContain('signature')
    await page.fill('#claims', 'no token')
    await page.click('#claims-form button')
    await expect.poll(textReader('#verdict'), WAIT).toContain('neither JSON nor a token')
  }, 60_000)

  test('the console reports a wrong key and a missing role, and stores the key nowhere, so a reload locks the console', async () => {
    await enterKey('wrong'.padEnd(32, '-'))
    await expect
      .poll(textReader('#key-error'), WAIT)
      .toBe('the key is unknown: enter a key of API_KEYS with the roles read and metrics')
    expect(await findDisplayProblems(page, 'console-key')).toEqual([])
    await enterKey(SCRAPER_KEY)
    await expect.poll(textReader('#health'), WAIT).toBe('Healthy')
    await page.fill('#user-id', 'auth0|1')
    await page.press('#user-id', 'Enter')
    await expect.poll(textReader('#user-status'), WAIT).toContain('the key lacks the role read')
    expect(await page.inputValue('#key')).toBe('')
    for (const storage of ['localStorage', 'sessionStorage']) {
      expect(await page.evaluate(`JSON.stringify(${storage})`)).toBe('{}')
    }
    expect(await page.context().cookies()).toEqual([])

    await page.click('#lock')
    expect(await page.isVisible('#data')).toBe(false)
    expect(await page.inputValue('#user-id')).toBe('')
    await unlockConsole()
    await page.reload()
    // The form in which the operator enters a key.
    expect(await page.isVisible('#key-section')).toBe(true)
    expect(await page.isVisible('#data')).toBe(false)
  }, 60_000)

  test('the console can be used with the keyboard alone', async () => {
    // When the page is opened, the field for the key has the focus.
    await page.keyboard.type(OPERATOR_KEY)
    await page.keyboard.press('Enter')
    await expect.poll(textReader('#health'), WAIT).toBe('Healthy')
    const focusedElements = new Set<string>()
    // Twenty presses are enough to reach all elements below.
    for (let presses = 0; presses < 20; presses++) {
      await page.keyboard.press('Tab')
      focusedElements.add(String(await page.evaluate(FOCUSED_ELEMENT)))
    }
    expect([...focusedElements]).toEqual(
      expect.arrayContaining(['lock', 'summary', 'user-id', 'session-id', 'button', 'claims']),
    )
  }, 60_000)

  test('the console reports an outage of Redis or PostgreSQL, and still shows the last data while PostgreSQL is unavailable', async () => {
    await unlockConsole()
    await redis.stop()
    await expect
      .poll(textReader('#jobs-note'), OUTAGE_WAIT)
      .toMatch(/^The queue in Redis cannot be read \(\w+\)/)
    expect(await page.textContent('#health')).toBe('Needs attention')
    await redis.start()
    await expect.poll(textReader('#health'), OUTAGE_WAIT).toBe('Healthy')

    // A frozen proxy forwards nothing, so PostgreSQL does not respond.
    proxy.freeze()
    await expectUnknown('The database is unavailable: retry later.')
    proxy.thaw()
    await expect.poll(textReader('#health'), OUTAGE_WAIT).toBe('Healthy')
  }, 120_000)

  test('the console shows that the health is unknown while the API or the network does not respond, and recovers', async () => {
    const network = await openProxy(service.url)
    onTestFinished(network.close)
    await page.goto(new URL('console', network.url).href)
    await unlockConsole()
    network.freeze()
    await expectUnknown('No response of the API: check the API and the network.')
    network.thaw()
    await expect.poll(textReader('#health'), OUTAGE_WAIT).toBe('Healthy')
  }, 120_000)

  test.each([
    ['a day ahead', DAY_MS],
    ['a day behind', -DAY_MS],
  ])(
    "the console judges overdue jobs and draws the lag by the service's clock if the browser's clock is %s",
    async (_case, aheadMs) => {
      await page.addInitScript({ content: shiftClock(aheadMs) })
      await page.reload()
      await unlockConsole()
      expect(await page.textContent('#updated')).toMatch(/^Updated (yesterday|tomorrow) /)
      expect(await page.textContent('#problems')).toBe('')
      expect(await page.textContent('#jobs')).toMatch(/poll\s*every 1\.0 s, next /)
      // The text is empty if the plot shows a full hour.
      expect(await page.textContent('#lag-since')).toMatch(/^Recorded since /)
    },
    60_000,
  )

  test('the console reports a job as overdue if it was due 30 s before the schedule was read', async () => {
    await page.route('**/console/data', async (route) => {
      const response = await route.fetch()
      const state = await response.json()
      const { schedule } = state
      const dueAt = new Date(Date.parse(schedule.read_at) - 30_001).toISOString()
      const jobs = schedule.jobs.map((job: object) => ({ ...job, next_at: dueAt }))
      await route.fulfill({ response, json: { ...state, schedule: { ...schedule, jobs } } })
    })
    await enterKey(OPERATOR_KEY)
    await expect.poll(textReader('#problems'), WAIT).toMatch(/^Overdue: .*poll/)
    expect(await page.textContent('#jobs')).toMatch(/poll\s*every 1\.0 s, overdue since \d\d:/)
  }, 60_000)

  test('the console shows that the health is unknown if a response is unreadable or from a proxy', async () => {
    await unlockConsole()
    // A proxy whose server is down.
    await page.route('**/console/data', (route) => route.fulfill({ status: 502, body: '<html>' }))
    await expect.poll(textReader('#health'), WAIT).toBe('Unknown')
    expect(await page.textContent('#problems')).toContain('The API responded with status 502. ')
    // An API of another version.
    await page.route('**/console/data', (route) => route.fulfill({ json: {} }))
    await expect.poll(textReader('#problems'), WAIT).toContain('The response is unreadable: ')
    expect(await page.textContent('#health')).toBe('Unknown')
    expect(pageErrors.splice(0)).toHaveLength(1)
    await page.unroute('**/console/data')
    await expect.poll(textReader('#health'), WAIT).toBe('Healthy')
  }, 60_000)
})
