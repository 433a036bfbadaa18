import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bearer, failIfCalled, keys, listenOnLoopback, openApi } from '../_support/api.js'
import { findBrowser, openBrowser } from '../_support/browser.js'

const snapshot = { user: null, session: null, floorAt: null, asOf: null, now: 0, complete: false }
const changesPage = { changes: [], cursor: 'c', asOf: null, now: 0, more: false }
let app: Awaited<ReturnType<typeof openApi>>
let url: string
const storedLogouts: unknown[] = []
beforeAll(async () => {
  app = await openApi({
    readKnownLogouts: async () => snapshot,
    readProgress: failIfCalled,
    readChanges: async () => changesPage,
    storeReported: async (logout) => {
      storedLogouts.push(logout)
      return 0
    },
  })
  url = await listenOnLoopback(app)
})
afterAll(() => app.close())

describe('every response', () => {
  test.each([
    ['a user', '/v1/users/x/last-logout', bearer(keys.reader), 200],
    ['changes', '/v1/changes', bearer(keys.subscriber), 200],
    ['the feed', '/v1/changes', { ...bearer(keys.subscriber), accept: 'text/event-stream' }, 200],
    ['an error', '/v1/users/%20/last-logout', bearer(keys.reader), 400],
    ['a missing key', '/v1/users/x/last-logout', {}, 401],
    ['a malformed URL', '/v1/users/%zz/last-logout', {}, 400],
    ['a parameter that exceeds the limit', `/v1/users/${'x'.repeat(9_700)}/last-logout`, {}, 400],
    ['a missing role', '/v1/changes', bearer(keys.reader), 403],
    ['an unknown path', '/nothing', bearer(keys.reader), 404],
    ['another method', '/v1/users/x/logout', bearer(keys.logout), 404],
    ['health', '/health/live', {}, 200],
    ['the OpenAPI document', '/openapi.json', bearer(keys.reader), 200],
  ])(
    'the headers of every response forbid caching, framing and scripts, also for %s',
    async (_case, path, headers, status) => {
      const abort = new AbortController()
      const response = await fetch(`${url}${path}`, { headers, signal: abort.signal })
      expect(response.status).toBe(status)
      expect(Object.fromEntries(response.headers)).toMatchObject({
        'cache-control': expect.stringMatching(/^no-store/),
        'content-security-policy':
          "default-src 'none';base-uri 'none';form-action 'none';frame-ancestors 'none'",
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
        'referrer-policy': 'no-referrer',
      })
      // The proxy that terminates TLS sets this header, because it applies to the whole host.
      expect(response.headers.has('strict-transport-security')).toBe(false)
      expect(response.headers.has('server')).toBe(false)
      abort.abort()
    },
  )
})

describe('a browser that stores a key for /docs', () => {
  // A page of another origin can send these content types without a CORS preflight request.
  test.each([
    ['sent as text/plain', 'text/plain'],
    ['sent as a form', 'application/x-www-form-urlencoded'],
    ['sent as a multipart form', 'multipart/form-data; boundary=x'],
    ['sent without a content type', undefined],
  ])(
    'a page of another origin cannot report a logout with the stored key: %s',
    async (_case, type) => {
      const send = (url: string, payload: object) =>
        app.inject({
          method: 'POST',
          url,
          headers: {
            authorization: `Basic ${btoa(`me:${keys.logout.key}`)}`,
            ...(type && { 'content-type': type }),
          },
          payload: JSON.stringify(payload),
        })
      const responses = await Promise.all([
        send('/v1/logouts', { user_id: 'auth0|1' }),
        send('/v1/users/auth0%7C1/logout', { at: new Date().toISOString() }),
      ])
      expect(responses.map(({ statusCode }) => statusCode)).toEqual([415, 415])
      expect(storedLogouts).toEqual([])
    },
  )

  test('a page of another origin cannot read responses', async () => {
    const headers = { ...bearer(keys.reader), origin: 'https://evil.example' }
    const response = await app.inject({ url: '/v1/users/x/last-logout', headers })
    expect(response.headers).not.toHaveProperty('access-control-allow-origin')
  })
})

const browserSearch = findBrowser()
const skip = 'skip' in browserSearch ? browserSearch.skip : null

describe.skipIf(skip !== null)(`/docs in a browser${skip === null ? '' : ` (${skip})`}`, () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await openBrowser('path' in browserSearch ? browserSearch.path : '')
  })
  afterAll(() => browser.close())

  test('the page at /docs works under its content security policy, and sends a request', async () => {
    const credentials = { username: 'me', password: keys.reader.key }
    const context = await browser.newContext({ httpCredentials: credentials })
    const tab = await context.newPage()
    const errors: string[] = []
    tab.on('pageerror', (error) => errors.push(error.message))
    tab.on('console', (message) => {
      if (message.type() === 'error') errors.push(message.text())
    })
    const response = await tab.goto(`${url}/docs/`)
    expect(response?.headers()['content-security-policy']).toContain("script-src 'self'")
    await tab.getByRole('button', { name: 'Authorize' }).click()
    await tab.locator('.auth-container input').fill(keys.reader.key)
    await tab
      .locator('.auth-btn-wrapper')
      .getByRole('button', { name: /^Apply|^Authorize/ })
      .click()
    await tab.getByRole('button', { name: 'Close', exact: true }).click()
    const operation = tab.locator('.opblock', { hasText: '/v1/users/{user_id}/last-logout' })
    await operation.locator('.opblock-summary').click()
    await operation.getByRole('button', { name: 'Try it out' }).click()
    await operation.getByPlaceholder('user_id').fill('auth0|docs')
    await operation.getByRole('button', { name: 'Execute' }).click()
    const responseOnPage = operation.locator('.live-responses-table .response')
    await expect
      .poll(() => responseOnPage.first().textContent(), { timeout: 10_000 })
      .toContain('auth0|docs')
    expect(errors).toEqual([])

    // The content security policy blocks an injected script.
    await tab.evaluate(`
      const script = document.createElement('script')
      script.textContent = 'document.title = "injected"'
      document.head.append(script)`)
    expect(await tab.title()).not.toBe('injected')
    await context.close()
  }, 60_000)
})
