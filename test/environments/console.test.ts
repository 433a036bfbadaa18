import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { buildEntry } from '../../src/simulator/entries.js'
import { findBrowser, openBrowser } from '../_support/browser.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { findDisplayProblems } from '../_support/display.js'
import { openProxy } from '../_support/proxy.js'
import { startRedis, type TestRedis } from '../_support/redis.js'
import { type RunningService, runService } from '../_support/running-service.js'

const OPERATOR = 'an-operator-of-more-than-32-characters'
const SCRAPER = 'a-scraper-of-more-than-32-characters'
const SUBSCRIBER = 'a-subscriber-of-more-than-32-characters'
const WAIT = { timeout: 15_000, interval: 20 }

/** A JavaScript expression for the id of the focused element, or its tag name if it has no id. */
const FOCUSED_ELEMENT = 'document.activeElement.id || document.activeElement.tagName.toLowerCase()'

let database: TestDatabase
let proxy: Awaited<ReturnType<typeof openProxy>>
let redis: TestRedis
let service: RunningService
let browser: Browser
let page: Page
const errors: string[] = []

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
    API_KEYS: `operator:${OPERATOR}:read+metrics,scraper:${SCRAPER}:metrics,subscriber:${SUBSCRIBER}:feed`,
    POLL_INTERVAL: '1s',
  })
  for (const userId of ['auth0|1', 'auth0|2', 'auth0|3']) service.logout(userId)
  service.tenant.write(buildEntry('slo', {}, { user_id: null, details: undefined }))
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
  page.on('pageerror', (error) => errors.push(error.message))
  page.on('console', (message) => {
    // The browser logs each response with an error status as an error.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
      errors.push(message.text())
    }
  })
  await page.goto(`${service.url}/console`)
})
afterEach(async () => {
  await page.context().close()
  expect(errors.splice(0)).toEqual([])
})

/** Enters a key in the form of the console. */
async function enterKey(key: string): Promise<void> {
  await page.fill('#key', key)
  await page.press('#key', 'Enter')
}

async function openConsole(): Promise<void> {
  await enterKey(OPERATOR)
  await expect.poll(() => page.textContent('#health'), WAIT).toBe('Healthy')
}

const textOf = (selector: string) => () => page.textContent(selector)

describe('the console in a browser', () => {
  test('shows freshness, lag, logouts, gaps and the schedule from Redis, and has no accessibility problem', async () => {
    const subscription = await fetch(`${service.url}/v1/changes`, {
      headers: { authorization: `Bearer ${SUBSCRIBER}`, accept: 'text/event-stream' },
    })
    expect(subscription.status).toBe(200)
    await openConsole()
    expect(await page.textContent('#logouts')).toContain('with a last logout')
    expect(await page.textContent('#logouts')).toMatch(/unattributable(none|1 no_subject)/)
    expect(await page.textContent('#freshness')).toMatch(/read up to\s*\d\d:\d\d:\d\d/)
    expect(await page.textContent('#lag-summary')).toMatch(/^The lag is \d+\.\d s now/)
    expect(await page.textContent('#lag-since')).toMatch(/^Recorded since \d\d:\d\d:\d\d, when /)
    expect(await page.locator('#lag-plot canvas').count()).toBe(1)
    expect(await page.textContent('#gaps')).toMatch(
      /^\d+ \w+ 2026 .* to .*: deleted before it was read; over: every token/,
    )
    expect(await page.textContent('#jobs-note')).toBe('From the queue in Redis.')
    expect(await page.textContent('#jobs')).toMatch(/poll\s*every 1\.0 s, (next|was due) \d\d:/)
    await expect.poll(textOf('#subscribers'), WAIT).toBe('1')
    await subscription.body?.cancel()
    await expect.poll(textOf('#subscribers'), WAIT).toBe('0')
    expect(await findDisplayProblems(page, 'console')).toEqual([])
  }, 60_000)

  test('looks up a user, explains a verdict for claims or a token, and does not send the token', async () => {
    service.logout('auth0|look-up')
    await openConsole()
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
      .poll(textOf('#verdict'), WAIT)
      .toBe('Revoked: Auth0 has ended the session of the token')
    expect(await page.textContent('#explanation strong')).toContain('(decisive)')
    expect(await findDisplayProblems(page, 'console-lookups')).toEqual([])

    const payload = Buffer.from(JSON.stringify({ ...claims, sub: 'auth0|å' })).toString('base64url')
    const sent: string[] = []
    page.on('request', (request) => sent.push(`${request.url()} ${request.postData()}`))
    await page.fill('#claims', `header.${payload}.signature`)
    await page.click('#claims-form button')
    await expect.poll(textOf('#explanation'), WAIT).toContain('auth0|å')
    expect(sent.join()).not.toContain('signature')
    await page.fill('#claims', 'no token')
    await page.click('#claims-form button')
    await expect.poll(textOf('#verdict'), WAIT).toContain('neither JSON nor a token')
  }, 60_000)

  test('rejects a wrong key and a key without the role, and keeps no key after a reload', async () => {
    await enterKey('wrong'.padEnd(32, '-'))
    await expect.poll(textOf('#key-error'), WAIT).toContain('the key is unknown')
    expect(await findDisplayProblems(page, 'console-key')).toEqual([])
    await enterKey(SCRAPER)
    await expect.poll(textOf('#health'), WAIT).toBe('Healthy')
    await page.fill('#user-id', 'auth0|1')
    await page.press('#user-id', 'Enter')
    await expect.poll(textOf('#user-status'), WAIT).toContain('the key lacks the role read')
    expect(await page.inputValue('#key')).toBe('')
    for (const storage of ['localStorage', 'sessionStorage']) {
      expect(await page.evaluate(`JSON.stringify(${storage})`)).toBe('{}')
    }
    expect(await page.context().cookies()).toEqual([])

    await page.click('#lock')
    expect(await page.isVisible('#data')).toBe(false)
    expect(await page.inputValue('#user-id')).toBe('')
    await openConsole()
    await page.reload()
    expect(await page.isVisible('#entry')).toBe(true)
    expect(await page.isVisible('#data')).toBe(false)
  }, 60_000)

  test('can be used with the keyboard alone', async () => {
    // The field for the key has the focus.
    await page.keyboard.type(OPERATOR)
    await page.keyboard.press('Enter')
    await expect.poll(textOf('#health'), WAIT).toBe('Healthy')
    const focusedElements = new Set<string>()
    for (let presses = 0; presses < 20; presses++) {
      await page.keyboard.press('Tab')
      focusedElements.add(String(await page.evaluate(FOCUSED_ELEMENT)))
    }
    expect([...focusedElements]).toEqual(
      expect.arrayContaining(['lock', 'summary', 'user-id', 'session-id', 'button', 'claims']),
    )
  }, 60_000)

  test('reports that the queue cannot be read or that the database is unavailable, and keeps the displayed data', async () => {
    await openConsole()
    await redis.stop()
    await expect
      .poll(textOf('#jobs-note'), { ...WAIT, timeout: 40_000 })
      .toMatch(/^The queue in Redis cannot be read \(\w+\)/)
    expect(await page.textContent('#health')).toBe('Needs attention')
    await redis.start()
    await expect.poll(textOf('#health'), { ...WAIT, timeout: 40_000 }).toBe('Healthy')

    proxy.freeze()
    await expect.poll(textOf('#health'), { ...WAIT, timeout: 40_000 }).toBe('Unknown')
    expect(await page.textContent('#problems')).toContain('The database is unavailable')
    expect(await page.textContent('#freshness')).toMatch(/read up to\s*\d/)
    proxy.thaw()
    await expect.poll(textOf('#health'), { ...WAIT, timeout: 30_000 }).toBe('Healthy')
  }, 120_000)
})
