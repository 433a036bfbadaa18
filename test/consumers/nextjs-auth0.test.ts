import { beforeEach, describe, expect, test, vi } from 'vitest'
import type * as Entry from '../../src/client/nextjs-auth0.js'
import { openClient } from '../_support/client.js'
import { type ControlledFeed, openControlledFeed } from '../_support/controlled-feed.js'
import { requireInstalled } from '../_support/installed.js'
import { WAIT } from '../_support/wait.js'

const { NextRequest } = requireInstalled('next/server.js')
const { Auth0Client } = requireInstalled('@auth0/nextjs-auth0/server')
const { generateSessionCookie } = requireInstalled('@auth0/nextjs-auth0/testing')
// As apps have it: beside the same copy of Next.js.
const { deleteSession, endLoggedOutSessions, isDeniedRefresh } = requireInstalled(
  'last-logout-client/nextjs-auth0',
) as typeof Entry

const USER = 'auth0|nextjs'
const APP = 'https://app.example'
const SECRET = 'a secret of at least thirty-two characters'
const HOUR_SECONDS = 3_600

/** The largest part of a session that the library writes into one cookie. */
const MAX_COOKIE = 3_500

let feed: ControlledFeed
beforeEach(async () => {
  feed = await openControlledFeed()
})

const createAuth0 = (options: object = {}) =>
  new Auth0Client({
    domain: 'tenant.example',
    clientId: 'client',
    clientSecret: 'secret',
    secret: SECRET,
    appBaseUrl: APP,
    ...options,
  })

const nowSeconds = () => Math.floor(Date.now() / 1_000)

const unsigned = (claims: object) =>
  `.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.`

/** A session that began an hour ago. Its ID token is that of a refresh a second ago. */
const sessionOf = (idToken: object = {}, internal: object = {}) => ({
  user: { sub: USER },
  tokenSet: {
    accessToken: 'access',
    idToken: unsigned({ sub: USER, name: 'Zoë', iat: nowSeconds() - 1, ...idToken }),
    expiresAt: nowSeconds() + HOUR_SECONDS,
  },
  internal: { sid: 'laptop', createdAt: nowSeconds() - HOUR_SECONDS, ...internal },
})

/** Returns a request with a session in cookies, as the library sets them. */
async function createRequest(session: object, name = '__session', path = '/') {
  const value: string = await generateSessionCookie(session, { secret: SECRET })
  const chunks = value.match(new RegExp(`.{1,${MAX_COOKIE}}`, 'g')) ?? []
  const cookies =
    chunks.length === 1 ? [`${name}=${value}`] : chunks.map((chunk, i) => `${name}__${i}=${chunk}`)
  return new NextRequest(`${APP}${path}`, {
    headers: { cookie: [...cookies, 'theme=dark'].join('; ') },
  })
}

/** The cookies that a response deletes. */
const deletedBy = (response: Response) =>
  response.headers
    .getSetCookie()
    .filter((line) => /Max-Age=0/.test(line))
    .map((line) => line.split('=')[0])

/** The cookies with which Next.js runs the app: the proxy can replace the headers of the request. */
const passedOn = (request: Request, response: Response) => {
  const isReplaced = response.headers.has('x-middleware-override-headers')
  return isReplaced
    ? response.headers.get('x-middleware-request-cookie')
    : request.headers.get('cookie')
}

type Proxy = ReturnType<typeof endLoggedOutSessions>

/** Repeats a request until the proxy ends its session. */
async function waitForEnd(proxy: Proxy, open: () => Promise<Request>) {
  return vi.waitFor(async () => {
    const request = await open()
    const response = await proxy(request as never)
    expect(passedOn(request, response)).not.toMatch(/session/)
    return { request, response }
  }, WAIT)
}

describe('endLoggedOutSessions', () => {
  test('removes a session from the request and from the browser when the session was logged out', async () => {
    const proxy = endLoggedOutSessions(feed.client, createAuth0())
    const request = await createRequest(sessionOf())
    const accepted = await proxy(request)
    expect(passedOn(request, accepted)).toMatch(/^__session=/)
    expect(deletedBy(accepted)).not.toContain('__session')
    feed.logOut(USER, 'laptop')
    const ended = await waitForEnd(proxy, () => createRequest(sessionOf()))
    expect(passedOn(ended.request, ended.response)).toBe('theme=dark')
    expect(ended.request.headers.get('cookie')).toBe('theme=dark')
    expect(deletedBy(ended.response)).toEqual(['__session'])
    expect(ended.response.headers.get('cache-control')).toBe('private, no-store')
  })

  test('keeps the session of another device', async () => {
    const proxy = endLoggedOutSessions(feed.client, createAuth0())
    feed.logOut(USER, 'phone')
    await waitForEnd(proxy, () => createRequest(sessionOf({}, { sid: 'phone' })))
    const request = await createRequest(sessionOf())
    expect(passedOn(request, await proxy(request))).toMatch(/^__session=/)
  })

  test('removes all parts of a session that is longer than one cookie', async () => {
    const proxy = endLoggedOutSessions(feed.client, createAuth0())
    const session = sessionOf({ padding: 'x'.repeat(6_000) })
    const parts = (await createRequest(session)).cookies.getAll().length - 1
    expect(parts).toBeGreaterThan(2)
    feed.logOut(USER)
    const { response } = await waitForEnd(proxy, () => createRequest(session))
    expect(deletedBy(response)).toEqual(Array.from({ length: parts }, (_, i) => `__session__${i}`))
  })

  test('reads the claims of the login Action in the ID token', async () => {
    const proxy = endLoggedOutSessions(feed.client, createAuth0())
    feed.logOut(USER)
    await waitForEnd(proxy, () => createRequest(sessionOf()))
    const authenticatedAt = { 'https://last-logout/authenticated_at': nowSeconds() + 1 }
    const request = await createRequest(sessionOf(authenticatedAt))
    expect(passedOn(request, await proxy(request))).toMatch(/^__session=/)
  })

  test('accepts a session without an ID token by its own time', async () => {
    const proxy = endLoggedOutSessions(feed.client, createAuth0())
    feed.logOut(USER)
    const withoutIdToken = { ...sessionOf(), tokenSet: { accessToken: 'access' } }
    await waitForEnd(proxy, () => createRequest(withoutIdToken))
    const internal = { sid: 'new', createdAt: nowSeconds() + 1 }
    const request = await createRequest({ ...withoutIdToken, internal })
    expect(passedOn(request, await proxy(request))).toMatch(/^__session=/)
  })

  test.each(['/auth/profile', '/auth/access-token'])(
    '%s shows no login after a logout',
    async (path) => {
      const proxy = endLoggedOutSessions(feed.client, createAuth0())
      const open = () => createRequest(sessionOf(), '__session', path)
      expect((await proxy((await open()) as never)).status).toBe(200)
      feed.logOut(USER)
      await expect.poll(async () => (await proxy((await open()) as never)).status, WAIT).toBe(401)
    },
  )

  test('an unknown revocation status is a 503 that keeps the session', async () => {
    const proxy = endLoggedOutSessions(feed.client, createAuth0())
    feed.setStale(true)
    const response = await vi.waitFor(async () => {
      const unknown = await proxy(await createRequest(sessionOf()))
      expect(unknown.status).toBe(503)
      return unknown
    }, WAIT)
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'retry-after': '5',
      'cache-control': 'no-store',
    })
    expect(deletedBy(response)).toEqual([])
  })

  test('with `mode: observe`, a logout ends no session', async () => {
    feed.logOut(USER)
    const proxy = endLoggedOutSessions(feed.client, createAuth0())
    await waitForEnd(proxy, () => createRequest(sessionOf()))
    const decisions: unknown[] = []
    const onDecision = ({ outcome }: { outcome: string }) => void decisions.push(outcome)
    const observer = openClient(feed.url, { mode: 'observe', onDecision })
    await observer.ready()
    feed.logOut(USER)
    await expect.poll(() => observer.checkNow({ sub: USER, iat: 1 }).outcome, WAIT).toBe('revoked')
    decisions.length = 0
    const request = await createRequest(sessionOf())
    const response = await endLoggedOutSessions(observer, createAuth0())(request)
    await observer.close()
    expect(decisions).toEqual(['revoked'])
    expect(passedOn(request, response)).toMatch(/^__session=/)
  })

  test('a session in a store ends, and its cookie is deleted', async () => {
    const sessions = new Map<string, unknown>()
    const sessionStore = {
      get: async (id: string) => sessions.get(id) ?? null,
      set: async (id: string, session: unknown) => void sessions.set(id, session),
      delete: async (id: string) => void sessions.delete(id),
    }
    const proxy = endLoggedOutSessions(feed.client, createAuth0({ sessionStore }))
    sessions.set('1', sessionOf())
    const open = () => createRequest({ id: '1' })
    const request = (await open()) as never
    expect(passedOn(request, await proxy(request))).toMatch(/^__session=/)
    feed.logOut(USER)
    const { response } = await waitForEnd(proxy, open)
    expect(deletedBy(response)).toEqual(['__session'])
  })

  test('uses the settings of the cookie, and ends no session whose cookie it does not know', async () => {
    const cookie = { name: 'shop', domain: 'app.example', path: '/', secure: true }
    const auth0 = createAuth0({ session: { cookie } })
    const open = () => createRequest(sessionOf(), 'shop')
    const proxy = endLoggedOutSessions(feed.client, auth0, { cookie })
    feed.logOut(USER)
    const { response } = await vi.waitFor(async () => {
      const ended = await proxy((await open()) as never)
      expect(deletedBy(ended)).toEqual(['shop'])
      return { response: ended }
    }, WAIT)
    const [line] = response.headers.getSetCookie()
    expect(line).toMatch(/Domain=app.example/)
    expect(line).toMatch(/Secure/)
    const misconfigured = endLoggedOutSessions(feed.client, auth0)
    await expect(misconfigured((await open()) as never)).rejects.toThrow(/session\.cookie/)
  })

  test('checks a request at the path of the logout that the library does not handle', async () => {
    const auth0 = createAuth0({ routes: { logout: '/sign-out' } })
    const proxy = endLoggedOutSessions(feed.client, auth0)
    feed.logOut(USER)
    await waitForEnd(proxy, () => createRequest(sessionOf(), '__session', '/auth/logout'))
  })
})

describe('isDeniedRefresh', () => {
  const errorOf = (code: string, message: string) =>
    Object.assign(new Error('x'), { cause: { code, message } })

  test.each([
    ['a logout', errorOf('access_denied', 'last_logout: the session was logged out'), true],
    [
      'an unknown status',
      errorOf('access_denied', 'last_logout: the revocation status of the session is unavailable'),
      false,
    ],
    ['another Action', errorOf('access_denied', 'the session was logged out'), false],
    ['another error', errorOf('invalid_grant', 'last_logout: the session was logged out'), false],
    ['an error without a cause', new Error('x'), false],
    ['no error', undefined, false],
  ])('after the denial by %s, it returns whether the session must end', (_name, error, denied) => {
    expect(isDeniedRefresh(error)).toBe(denied)
  })
})

test('deleteSession deletes the cookies of the session and of its connections only', async () => {
  const deleted: unknown[] = []
  const names = ['__session__0', '__session__1', '__session_theme', '__FC_0', 'appSession.1', 'a']
  deleteSession({
    getAll: () => names.map((name) => ({ name })),
    set: (name, value, options) => deleted.push([name, value, options]),
  })
  const options = { path: '/', sameSite: 'lax', httpOnly: true, maxAge: 0 }
  const expected = ['__session__0', '__session__1', '__FC_0', 'appSession.1']
  expect(deleted).toEqual(expected.map((name) => [name, '', expect.objectContaining(options)]))
})
