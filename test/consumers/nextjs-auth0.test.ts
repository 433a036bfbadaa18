import { beforeEach, describe, expect, test, vi } from 'vitest'
import type * as Entry from '../../src/client/nextjs-auth0.js'
import { openClient } from '../_support/client.js'
import { type ControlledFeed, openControlledFeed } from '../_support/controlled-feed.js'
import { requireInstalled } from '../_support/installed.js'
import { WAIT } from '../_support/wait.js'

const { NextRequest } = requireInstalled('next/server.js')
const { Auth0Client } = requireInstalled('@auth0/nextjs-auth0/server')
const { generateSessionCookie } = requireInstalled('@auth0/nextjs-auth0/testing')
// As in an app, `last-logout-client` and this test use the same copy of Next.js.
const { deleteSession, endLoggedOutSessions, isDeniedRefresh } = requireInstalled(
  'last-logout-client/nextjs-auth0',
) as typeof Entry

const USER_ID = 'auth0|nextjs'
const APP_URL = 'https://app.example'
const SECRET = 'a secret of at least thirty-two characters'
const HOUR_SECONDS = 3_600

/** The library cuts a session into cookies of at most so many characters. */
const MAX_COOKIE_LENGTH = 3_500

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
    appBaseUrl: APP_URL,
    ...options,
  })

const nowSeconds = () => Math.floor(Date.now() / 1_000)

/** Returns an ID token without a header and a signature. The library verified it at the login. */
const encodeIdToken = (claims: object) =>
  `.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.`

/** Returns a session that began an hour ago. A refresh has replaced its ID token a second ago. */
const createSession = (idToken: object = {}, internal: object = {}) => ({
  user: { sub: USER_ID },
  tokenSet: {
    accessToken: 'access',
    idToken: encodeIdToken({ sub: USER_ID, name: 'Zoë', iat: nowSeconds() - 1, ...idToken }),
    expiresAt: nowSeconds() + HOUR_SECONDS,
  },
  internal: { sid: 'laptop', createdAt: nowSeconds() - HOUR_SECONDS, ...internal },
})

/** Returns a request with a session in cookies, as the library sets them. */
async function createRequest(session: object, name = '__session', path = '/') {
  const cookieValue: string = await generateSessionCookie(session, { secret: SECRET })
  const chunks = cookieValue.match(new RegExp(`.{1,${MAX_COOKIE_LENGTH}}`, 'g')) ?? []
  const cookies =
    chunks.length === 1
      ? [`${name}=${cookieValue}`]
      : chunks.map((chunk, i) => `${name}__${i}=${chunk}`)
  return new NextRequest(`${APP_URL}${path}`, {
    headers: { cookie: [...cookies, 'theme=dark'].join('; ') },
  })
}

/** Returns the names of the cookies that a response deletes. */
const deletedCookies = (response: Response) =>
  response.headers
    .getSetCookie()
    .filter((line) => /Max-Age=0/.test(line))
    .map((line) => line.split('=')[0])

/**
 * Returns the cookies that the app receives after the proxy, a middleware of Next.js. The proxy can replace the headers
 * of the request.
 */
const cookiesOfApp = (request: Request, response: Response) => {
  const isReplaced = response.headers.has('x-middleware-override-headers')
  return isReplaced
    ? response.headers.get('x-middleware-request-cookie')
    : request.headers.get('cookie')
}

type Proxy = ReturnType<typeof endLoggedOutSessions>

/** Repeats a request until the proxy ends its session. */
async function waitForEnd(proxy: Proxy, createNextRequest: () => Promise<Request>) {
  return vi.waitFor(async () => {
    const request = await createNextRequest()
    const response = await proxy(request as never)
    expect(cookiesOfApp(request, response)).not.toMatch(/session/)
    return { request, response }
  }, WAIT)
}

describe('endLoggedOutSessions', () => {
  test('the proxy removes a session from the request and from the browser when the session was logged out', async () => {
    const proxy = endLoggedOutSessions(feed.client, createAuth0())
    const request = await createRequest(createSession())
    const acceptedResponse = await proxy(request)
    expect(cookiesOfApp(request, acceptedResponse)).toMatch(/^__session=/)
    expect(deletedCookies(acceptedResponse)).not.toContain('__session')
    feed.logOut(USER_ID, 'laptop')
    const ended = await waitForEnd(proxy, () => createRequest(createSession()))
    expect(cookiesOfApp(ended.request, ended.response)).toBe('theme=dark')
    expect(ended.request.headers.get('cookie')).toBe('theme=dark')
    expect(deletedCookies(ended.response)).toEqual(['__session'])
    expect(ended.response.headers.get('cache-control')).toBe('private, no-store')
  })

  test('the proxy keeps the session of another device', async () => {
    const proxy = endLoggedOutSessions(feed.client, createAuth0())
    feed.logOut(USER_ID, 'phone')
    await waitForEnd(proxy, () => createRequest(createSession({}, { sid: 'phone' })))
    const request = await createRequest(createSession())
    expect(cookiesOfApp(request, await proxy(request))).toMatch(/^__session=/)
  })

  test('the proxy removes all parts of a session that is longer than one cookie', async () => {
    const proxy = endLoggedOutSessions(feed.client, createAuth0())
    const session = createSession({ padding: 'x'.repeat(6_000) })
    // The request has one more cookie, `theme`.
    const partCount = (await createRequest(session)).cookies.getAll().length - 1
    expect(partCount).toBeGreaterThan(2)
    feed.logOut(USER_ID)
    const { response } = await waitForEnd(proxy, () => createRequest(session))
    expect(deletedCookies(response)).toEqual(
      Array.from({ length: partCount }, (_, i) => `__session__${i}`),
    )
  })

  test('the proxy reads the claims of the login Action in the ID token', async () => {
    const proxy = endLoggedOutSessions(feed.client, createAuth0())
    feed.logOut(USER_ID)
    await waitForEnd(proxy, () => createRequest(createSession()))
    // The login of this session is after the logout.
    const authenticatedAt = { 'https://last-logout/authenticated_at': nowSeconds() + 1 }
    const request = await createRequest(createSession(authenticatedAt))
    expect(cookiesOfApp(request, await proxy(request))).toMatch(/^__session=/)
  })

  test('the proxy judges a session without an ID token by the time at which the session began', async () => {
    const proxy = endLoggedOutSessions(feed.client, createAuth0())
    feed.logOut(USER_ID)
    const withoutIdToken = { ...createSession(), tokenSet: { accessToken: 'access' } }
    await waitForEnd(proxy, () => createRequest(withoutIdToken))
    // This session begins after the logout.
    const internal = { sid: 'new', createdAt: nowSeconds() + 1 }
    const request = await createRequest({ ...withoutIdToken, internal })
    expect(cookiesOfApp(request, await proxy(request))).toMatch(/^__session=/)
  })

  test.each(['/auth/profile', '/auth/access-token'])(
    'a request to %s gets a 401 after a logout',
    async (path) => {
      const proxy = endLoggedOutSessions(feed.client, createAuth0())
      const createNextRequest = () => createRequest(createSession(), '__session', path)
      expect((await proxy((await createNextRequest()) as never)).status).toBe(200)
      feed.logOut(USER_ID)
      await expect
        .poll(async () => (await proxy((await createNextRequest()) as never)).status, WAIT)
        .toBe(401)
    },
  )

  test('the proxy responds with 503 while the revocation status is unknown, and keeps the session', async () => {
    const proxy = endLoggedOutSessions(feed.client, createAuth0())
    feed.setStale(true)
    const response = await vi.waitFor(async () => {
      const unknown = await proxy(await createRequest(createSession()))
      expect(unknown.status).toBe(503)
      return unknown
    }, WAIT)
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'retry-after': '5',
      'cache-control': 'no-store',
    })
    expect(deletedCookies(response)).toEqual([])
  })

  test("with mode: 'observe', a logout ends no session", async () => {
    // With the client of the feed, which enforces logouts, the session ends.
    feed.logOut(USER_ID)
    const proxy = endLoggedOutSessions(feed.client, createAuth0())
    await waitForEnd(proxy, () => createRequest(createSession()))
    const decisions: unknown[] = []
    const onDecision = ({ outcome }: { outcome: string }) => void decisions.push(outcome)
    const observer = openClient(feed.url, { mode: 'observe', onDecision })
    await observer.ready()
    // The observer was not connected at the first logout, and the feed does not repeat it.
    feed.logOut(USER_ID)
    await expect
      .poll(() => observer.checkNow({ sub: USER_ID, iat: 1 }).outcome, WAIT)
      .toBe('revoked')
    decisions.length = 0
    const request = await createRequest(createSession())
    const response = await endLoggedOutSessions(observer, createAuth0())(request)
    await observer.close()
    expect(decisions).toEqual(['revoked'])
    expect(cookiesOfApp(request, response)).toMatch(/^__session=/)
  })

  test('a logout ends a session that the app keeps in a store, and the proxy deletes its cookie', async () => {
    const sessions = new Map<string, unknown>()
    const sessionStore = {
      get: async (id: string) => sessions.get(id) ?? null,
      set: async (id: string, session: unknown) => void sessions.set(id, session),
      delete: async (id: string) => void sessions.delete(id),
    }
    const proxy = endLoggedOutSessions(feed.client, createAuth0({ sessionStore }))
    sessions.set('1', createSession())
    const createNextRequest = () => createRequest({ id: '1' })
    const request = (await createNextRequest()) as never
    expect(cookiesOfApp(request, await proxy(request))).toMatch(/^__session=/)
    feed.logOut(USER_ID)
    const { response } = await waitForEnd(proxy, createNextRequest)
    expect(deletedCookies(response)).toEqual(['__session'])
  })

  test('the proxy uses the settings of the cookie, and rejects if its settings differ from those of the library', async () => {
    const cookie = { name: 'shop', domain: 'app.example', path: '/', secure: true }
    const auth0 = createAuth0({ session: { cookie } })
    const createNextRequest = () => createRequest(createSession(), 'shop')
    const proxy = endLoggedOutSessions(feed.client, auth0, { cookie })
    feed.logOut(USER_ID)
    const { response } = await vi.waitFor(async () => {
      const ended = await proxy((await createNextRequest()) as never)
      expect(deletedCookies(ended)).toEqual(['shop'])
      return { response: ended }
    }, WAIT)
    const [line] = response.headers.getSetCookie()
    expect(line).toMatch(/Domain=app.example/)
    expect(line).toMatch(/Secure/)
    const proxyWithDefaultCookie = endLoggedOutSessions(feed.client, auth0)
    await expect(proxyWithDefaultCookie((await createNextRequest()) as never)).rejects.toThrow(
      /session\.cookie/,
    )
  })

  test('the proxy checks a request to /auth/logout if the library has another path for the logout', async () => {
    const auth0 = createAuth0({ routes: { logout: '/sign-out' } })
    const proxy = endLoggedOutSessions(feed.client, auth0)
    feed.logOut(USER_ID)
    await waitForEnd(proxy, () => createRequest(createSession(), '__session', '/auth/logout'))
  })
})

describe('isDeniedRefresh', () => {
  const errorOf = (code: string, message: string) =>
    Object.assign(new Error('x'), { cause: { code, message } })

  test.each([
    [
      'a denial because of a logout',
      errorOf('access_denied', 'last_logout: the session was logged out'),
      true,
    ],
    [
      'a denial because of an unknown revocation status',
      errorOf('access_denied', 'last_logout: the revocation status of the session is unavailable'),
      false,
    ],
    ['a denial of another Action', errorOf('access_denied', 'the session was logged out'), false],
    ['another error', errorOf('invalid_grant', 'last_logout: the session was logged out'), false],
    ['an error without a cause', new Error('x'), false],
    ['no error', undefined, false],
  ])('isDeniedRefresh returns whether the session must end after %s', (_name, error, mustEnd) => {
    expect(isDeniedRefresh(error)).toBe(mustEnd)
  })
})

test('deleteSession deletes only the cookies of the session and of its connections', async () => {
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
