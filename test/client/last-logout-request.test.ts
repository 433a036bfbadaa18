import { describe, expect, test } from 'vitest'
import { createLastLogoutRequest } from '../../src/client/last-logout-request.js'
import { createClock } from '../_support/clock.js'
import {
  type FakeResponse,
  FOREIGN_NOT_FOUND,
  OWN_NOT_FOUND,
  openFakeServer,
  responseAbout,
} from '../_support/fake-server.js'

const MINUTE_MS = 60_000
/** The user id contains characters that must be encoded in a URL. */
const ids = { userId: 'samlp|corp|a/b', sessionId: 'S1' }
/** The query form of the request. */
const QUERY_URL = '/v1/last-logout?user_id=samlp%7Ccorp%7Ca%2Fb&session_id=S1'
/** The path form, which old versions of the service support. */
const PATH_URL = '/v1/users/samlp%7Ccorp%7Ca%2Fb/last-logout?session_id=S1'

const isQueryForm = (url: string) => url.startsWith('/v1/last-logout')

/** Opens a fake service. `request` sends a request of the client to it. */
async function open(respond: (url: string) => FakeResponse | null, timeoutMs = 5_000) {
  const service = await openFakeServer(respond)
  const clock = createClock()
  const settings = { url: `${service.url}/`, apiKey: 'k'.repeat(32), timeoutMs }
  return { ...service, clock, request: createLastLogoutRequest(settings, clock.now) }
}

describe('a service that supports the query form', () => {
  test('the client sends one request, with the ids in the query', async () => {
    const { request, requestedUrls } = await open(() => responseAbout(ids.userId, ids.sessionId))
    expect(await request(ids)).toMatchObject({
      knownLogouts: { user: null, session: null, floorAt: null },
      freshness: { policy: 'session', lagMs: 0 },
    })
    expect(requestedUrls).toEqual([QUERY_URL])
  })

  test.each([
    ['another user', responseAbout('b', 'S1')],
    ['another session', responseAbout(ids.userId, 'S2')],
    ['no session, although a session was requested', responseAbout(ids.userId)],
    ['no user', [200, '{"policy":"session"}'] as FakeResponse],
    ['null', [200, 'null'] as FakeResponse],
  ])('the client rejects a response about %s', async (_case, response) => {
    const { request } = await open(() => response)
    const error = await request(ids).catch((error) => error)
    expect(error).toMatchObject({ code: 'NOT_UNDERSTOOD' })
    expect(error.message).toMatch(/another user or session/)
    expect(error.message).not.toContain(ids.userId)
  })

  test('the client rejects a response about a session if no session was requested', async () => {
    const { request } = await open(() => responseAbout('x', 'S1'))
    await expect(request({ userId: 'x', sessionId: null })).rejects.toMatchObject({
      code: 'NOT_UNDERSTOOD',
    })
  })
})

describe('a service that supports only the path form', () => {
  const respondLikeOldService = (url: string) =>
    isQueryForm(url) ? OWN_NOT_FOUND : responseAbout(ids.userId, ids.sessionId)

  test('the client sends only the path form for ten minutes after a 404 to the query form', async () => {
    const { request, requestedUrls, clock } = await open(respondLikeOldService)
    await request(ids)
    expect(requestedUrls.splice(0)).toEqual([QUERY_URL, PATH_URL])
    clock.pass(10 * MINUTE_MS - 1)
    await request(ids)
    expect(requestedUrls.splice(0)).toEqual([PATH_URL])
    clock.pass(1)
    await request(ids)
    expect(requestedUrls.splice(0)).toEqual([QUERY_URL, PATH_URL])
    await request(ids)
    expect(requestedUrls).toEqual([PATH_URL])
  })

  test('the client sends the query form again within ten minutes after the service was upgraded', async () => {
    let isUpgraded = false
    const { request, requestedUrls, clock } = await open((url) =>
      isUpgraded ? responseAbout(ids.userId, ids.sessionId) : respondLikeOldService(url),
    )
    await request(ids)
    isUpgraded = true
    clock.pass(10 * MINUTE_MS)
    requestedUrls.length = 0
    await request(ids)
    await request(ids)
    expect(requestedUrls).toEqual([QUERY_URL, QUERY_URL])
  })

  test('the client rejects a response to the path form about another user', async () => {
    const { request } = await open((url) =>
      isQueryForm(url) ? OWN_NOT_FOUND : responseAbout('b', 'S1'),
    )
    await expect(request(ids)).rejects.toMatchObject({ code: 'NOT_UNDERSTOOD' })
  })

  test('the client throws an error if the service supports neither form', async () => {
    const { request } = await open(() => OWN_NOT_FOUND)
    await expect(request(ids)).rejects.toMatchObject({ code: 'NOT_UNDERSTOOD' })
  })
})

test.each(FOREIGN_NOT_FOUND)(
  'the client does not try the path form after a 404 of another server: %d %s',
  async (...response) => {
    const { request, requestedUrls } = await open(() => response)
    await expect(request(ids)).rejects.toMatchObject({ code: 'NOT_UNDERSTOOD' })
    await expect(request(ids)).rejects.toThrow(/404/)
    expect(requestedUrls).toEqual([QUERY_URL, QUERY_URL])
  },
)

test('a request in the path form without a response fails after the timeout', async () => {
  const { request, requestedUrls } = await open(
    (url) => (isQueryForm(url) ? OWN_NOT_FOUND : null),
    200,
  )
  await expect(request(ids)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  expect(requestedUrls).toEqual([QUERY_URL, PATH_URL])
})
