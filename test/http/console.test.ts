import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ApiKey } from '../../src/config/api-keys.js'
import { LastLogoutError } from '../../src/errors.js'
import { bearer, failIfCalled, keys, listenOnLoopback, openApi } from '../_support/api.js'
import { CONSOLE_STATE, CONSOLE_NOW as NOW } from '../_support/console-state.js'

const operator: ApiKey = { name: 'operator', key: 'o'.repeat(32), roles: ['read', 'metrics'] }
const scraper: ApiKey = { name: 'scraper', key: 's'.repeat(32), roles: ['metrics'] }

const toDateTime = (at: number) => new Date(at).toISOString()

const logout = { at: NOW, logId: '900', type: 'slo' }
const LAG_MS = 840
const snapshot = {
  user: { ...logout, allSessionsAt: null },
  session: { ...logout, ended: true },
  floorAt: null,
  asOf: NOW,
  now: NOW + LAG_MS,
  complete: true,
}
const feedPage = { changes: [], cursor: 'c', asOf: NOW, now: NOW, more: false }

let app: Awaited<ReturnType<typeof openApi>>
let url: string
let readConsoleState = async () => CONSOLE_STATE
beforeAll(async () => {
  app = await openApi({
    apiKeys: [...Object.values(keys), operator, scraper],
    readKnownLogouts: async () => snapshot,
    readProgress: failIfCalled,
    readChanges: async () => feedPage,
    storeReported: async () => null,
    readConsoleState: () => readConsoleState(),
  })
  url = await listenOnLoopback(app)
})
afterAll(() => app.close())

const getData = (key: ApiKey | null) =>
  app.inject({ url: '/console/data', headers: key === null ? {} : bearer(key) })

/** Requests the explanation of the verdict about a token with these claims. */
const explain = (claims: object, key: ApiKey = operator) =>
  app.inject({
    method: 'POST',
    url: '/console/data/explain',
    headers: bearer(key),
    payload: { claims },
  })

describe('the page of the console', () => {
  test('the page requires no key, and forbids inline scripts and content of other hosts', async () => {
    const response = await app.inject('/console')
    expect(response.statusCode).toBe(200)
    expect(response.headers['content-type']).toBe('text/html; charset=utf-8')
    expect(response.headers['content-security-policy']).toBe(
      "default-src 'none';base-uri 'none';form-action 'none';frame-ancestors 'none';script-src 'self';style-src 'self';img-src 'self';connect-src 'self';require-trusted-types-for 'script'",
    )
    expect(response.headers['x-frame-options']).toBe('DENY')
    // Links to other hosts, inline styles, inline scripts, and event handlers in attributes.
    expect(response.body).not.toMatch(
      /(?:href|src)="(?:\w+:|\/)|<style|style=|<script(?![^>]* src=)| on\w+=/,
    )
  })

  test('the page links only to files that exist and have the correct type', async () => {
    const { body } = await app.inject('/console')
    const links = [...body.matchAll(/(?:href|src)="([^"]+)"/g)].map(([, link = '']) => link)
    expect(links.length).toBeGreaterThan(3)
    // The loop also visits the paths that it adds.
    const paths = new Set(links.map((link) => `/${link}`))
    for (const path of paths) {
      const response = await app.inject(path)
      expect({ path, status: response.statusCode }).toEqual({ path, status: 200 })
      if (!path.endsWith('.js')) continue
      expect(response.headers['content-type']).toBe('text/javascript; charset=utf-8')
      for (const [, name] of response.body.matchAll(/^import .*'\.\/(.+)'$/gm)) {
        paths.add(`/console/${name}`)
      }
    }
    expect([...paths]).toContain('/console/uplot.js')
  })

  test('the page and its files are public, but all other paths below /console require a key', async () => {
    expect((await app.inject('/console/')).headers.location).toBe('../console')
    for (const path of ['/console/data', '/console/package.json', '/console/../package.json']) {
      expect((await app.inject(path)).statusCode).toBe(401)
    }
  })

  test('the page does not exist in an API without `readConsoleState`', async () => {
    const apiWithoutConsole = await openApi({
      readKnownLogouts: async () => snapshot,
      readProgress: () => Promise.reject(new Error('not called')),
      readChanges: async () => feedPage,
      storeReported: async () => null,
    })
    const headers = bearer(keys.reader)
    const response = await apiWithoutConsole.inject({ url: '/console', headers })
    expect(response.statusCode).toBe(404)
    await apiWithoutConsole.close()
  })
})

describe('the data of the console', () => {
  test('the data requires a key with the role metrics', async () => {
    expect((await getData(null)).statusCode).toBe(401)
    expect((await getData(keys.reader)).json().message).toContain('the role metrics')
    expect((await getData(scraper)).statusCode).toBe(200)
  })

  test('the data contains the state, the version, the policy and the number of subscribers', async () => {
    const expectedData = {
      ...CONSOLE_STATE,
      version: '0.0.0',
      policy: 'session',
      max_lag_ms: 60_000,
      subscribers: 0,
    }
    expect((await getData(operator)).json()).toEqual(expectedData)

    const headers = { ...bearer(keys.subscriber), accept: 'text/event-stream' }
    const subscription = await fetch(`${url}/v1/changes`, { headers })
    expect((await getData(operator)).json().subscribers).toBe(1)
    await subscription.body?.cancel()
    await expect.poll(async () => (await getData(operator)).json().subscribers).toBe(0)
  })

  test('the API responds with 503 to a request for the data while the database is unavailable', async () => {
    readConsoleState = () => Promise.reject(new LastLogoutError('DATABASE_UNAVAILABLE', 'down'))
    expect((await getData(operator)).statusCode).toBe(503)
    readConsoleState = async () => CONSOLE_STATE
  })
})

describe('the explanation of a verdict', () => {
  test('the explanation contains the reason and the facts that led to the verdict', async () => {
    const claims = { sub: 'auth0|1', sid: 'S1', iat: NOW / 1000 - 60, exp: NOW / 1000 + 60 }
    const response = await explain(claims)
    expect(response.json()).toEqual({
      signature_verified: false,
      subject: 'auth0|1',
      session_id: 'S1',
      session_id_claim: 'sid',
      login_at: toDateTime(NOW - 60_000),
      login_at_claim: 'iat',
      expires_at: toDateTime(NOW + 60_000),
      expired: false,
      policy: 'session',
      logouts: {
        session: { at: toDateTime(NOW), log_id: '900', type: 'slo', ended: true },
        all_sessions: null,
        user: { at: toDateTime(NOW), log_id: '900', type: 'slo' },
        floor: null,
      },
      decided_by: 'session',
      verdict: 'revoked',
      revoked: true,
      reason: 'session_ended',
      as_of: toDateTime(NOW),
      lag_ms: LAG_MS,
      complete: true,
    })
  })

  test('the explanation requires a key with the role read, and claims with a usable sub', async () => {
    expect((await explain({ sub: 'auth0|1' }, scraper)).statusCode).toBe(403)
    const response = await explain({ iat: 1 })
    expect(response.statusCode).toBe(400)
    expect(response.json().message).toContain('sub')
  })
})

test('/openapi.json describes the data of the console, but not its files, and every route has a group', async () => {
  const response = await app.inject({ url: '/openapi.json', headers: bearer(keys.reader) })
  const { paths, tags } = response.json()
  expect(Object.keys(paths).filter((path) => path.startsWith('/console'))).toEqual([
    '/console/data',
    '/console/data/explain',
  ])
  const groups = tags.map(({ name }: { name: string }) => name)
  const tagsOfRoutes = Object.values<Record<string, { tags?: string[] }>>(paths)
    .flatMap((methods) => Object.values(methods))
    .map((operation) => operation.tags)
  const hasOneGroup = (routeTags?: string[]) =>
    routeTags?.length === 1 && groups.includes(routeTags[0])
  expect(tagsOfRoutes.every(hasOneGroup)).toBe(true)
  // Every group has a route.
  expect(new Set(tagsOfRoutes.flat()).size).toBe(groups.length)
})
