import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bearer, keys, listenOnLoopback, openApi } from '../_support/api.js'
import { findBrowser, openBrowser } from '../_support/browser.js'

const known = { user: null, session: null, floorAt: null, asOf: null, now: 0, complete: false }
const page = { changes: [], cursor: 'c', asOf: null, now: 0, more: false }
const nothing = async () => {
  throw new Error('not called')
}

let app: Awaited<ReturnType<typeof openApi>>
let url: string
const reported: unknown[] = []
beforeAll(async () => {
  app = await openApi({
    readKnown: async () => known,
    readProgress: nothing,
    readChanges: async () => page,
    storeReported: async (logout) => {
      reported.push(logout)
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
  ])('forbids caching, framing and execution: %s', async (_what, path, headers, status) => {
    const aborted = new AbortController()
    const response = await fetch(`${url}${path}`, { headers, signal: aborted.signal })
    expect(response.status).toBe(status)
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'cache-control': expect.stringMatching(/^no-store/),
      'content-security-policy':
        "default-src 'none';base-uri 'none';form-action 'none';frame-ancestors 'none'",
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
    })
    // The proxy that terminates TLS sets this for its host.
    expect(response.headers.has('strict-transport-security')).toBe(false)
    expect(response.headers.has('server')).toBe(false)
    aborted.abort()
  })
})

describe('a browser that stores a key for /docs', () => {
  // Content types that a page of another origin can send without a preflight (Fetch standard, "simple").
  test.each([
    ['text/plain', 'text/plain'],
    ['a form', 'application/x-www-form-urlencoded'],
    ['a multipart form', 'multipart/form-data; boundary=x'],
    ['no content type', undefined],
  ])(
    'cannot be made to report a logout by a page of another origin, as %s',
    async (_what, type) => {
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
      expect(reported).toEqual([])
    },
  )

  test('does not expose responses to pages of another origin', async () => {
    const headers = { ...bearer(keys.reader), origin: 'https://evil.example' }
    const response = await app.inject({ url: '/v1/users/x/last-logout', headers })
    expect(response.headers).not.toHaveProperty('access-control-allow-origin')
  })
})

const found = findBrowser()
const skip = 'skip' in found ? found.skip : null

describe.skipIf(skip !== null)(`/docs in a browser${skip === null ? '' : ` (${skip})`}`, () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await openBrowser('path' in found ? found.path : '')
  })
  afterAll(() => browser.close())

  test('works under its content security policy, and sends a request', async () => {
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
    const shown = operation.locator('.live-responses-table .response')
    await expect
      .poll(() => shown.first().textContent(), { timeout: 10_000 })
      .toContain('auth0|docs')
    expect(errors).toEqual([])

    // The policy blocks an injected script.
    await tab.evaluate(`
      const script = document.createElement('script')
      script.textContent = 'document.title = "injected"'
      document.head.append(script)`)
    expect(await tab.title()).not.toBe('injected')
    await context.close()
  }, 60_000)
})
