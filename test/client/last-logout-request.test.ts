import { describe, expect, test } from 'vitest'
import { createLastLogoutRequest } from '../../src/client/last-logout-request.js'
import { createClock } from '../_support/clock.js'
import {
  about,
  FOREIGN_NOT_FOUND,
  OWN_NOT_FOUND,
  openStandIn,
  type Reply,
} from '../_support/stand-in.js'

const MINUTE_MS = 60_000
const ids = { userId: 'samlp|corp|a/b', sessionId: 'S1' }
const QUERY = '/v1/last-logout?user_id=samlp%7Ccorp%7Ca%2Fb&session_id=S1'
const PATH = '/v1/users/samlp%7Ccorp%7Ca%2Fb/last-logout?session_id=S1'

const isQuery = (url: string) => url.startsWith('/v1/last-logout')

async function open(reply: (url: string) => Reply | null, timeoutMs = 5_000) {
  const service = await openStandIn(reply)
  const clock = createClock()
  const settings = { url: `${service.url}/`, apiKey: 'k'.repeat(32), timeoutMs }
  return { ...service, clock, request: createLastLogoutRequest(settings, clock.now) }
}

describe('a service that has the query form', () => {
  test('is sent one request, with the ids in the query', async () => {
    const { request, requests } = await open(() => about(ids.userId, ids.sessionId))
    expect(await request(ids)).toMatchObject({ user_id: ids.userId, session: { session_id: 'S1' } })
    expect(requests).toEqual([QUERY])
  })

  test.each([
    ['another user', about('b', 'S1')],
    ['another session', about(ids.userId, 'S2')],
    ['no session, though one is requested', about(ids.userId)],
    ['nobody', [200, '{"policy":"session"}'] as Reply],
    ['null', [200, 'null'] as Reply],
  ])('is not believed when its response is about %s', async (_what, reply) => {
    const { request } = await open(() => reply)
    const error = await request(ids).catch((error) => error)
    expect(error).toMatchObject({ code: 'NOT_UNDERSTOOD' })
    expect(error.message).toMatch(/another user or session/)
    expect(error.message).not.toContain(ids.userId)
  })

  test('is not believed when its response names a session, though none is requested', async () => {
    const { request } = await open(() => about('x', 'S1'))
    await expect(request({ userId: 'x', sessionId: null })).rejects.toMatchObject({
      code: 'NOT_UNDERSTOOD',
    })
  })
})

describe('a service that does not have the query form', () => {
  const old = (url: string) => (isQuery(url) ? OWN_NOT_FOUND : about(ids.userId, ids.sessionId))

  test('is sent the path form, and for ten minutes nothing else', async () => {
    const { request, requests, clock } = await open(old)
    await request(ids)
    expect(requests.splice(0)).toEqual([QUERY, PATH])
    clock.pass(10 * MINUTE_MS - 1)
    await request(ids)
    expect(requests.splice(0)).toEqual([PATH])
    clock.pass(1)
    await request(ids)
    expect(requests.splice(0)).toEqual([QUERY, PATH])
    await request(ids)
    expect(requests).toEqual([PATH])
  })

  test('is sent the query form from its upgrade on, ten minutes late at most', async () => {
    let upgraded = false
    const { request, requests, clock } = await open((url) =>
      upgraded ? about(ids.userId, ids.sessionId) : old(url),
    )
    await request(ids)
    upgraded = true
    clock.pass(10 * MINUTE_MS)
    requests.length = 0
    await request(ids)
    await request(ids)
    expect(requests).toEqual([QUERY, QUERY])
  })

  test('is not believed when the path led to another user', async () => {
    const { request } = await open((url) => (isQuery(url) ? OWN_NOT_FOUND : about('b', 'S1')))
    await expect(request(ids)).rejects.toMatchObject({ code: 'NOT_UNDERSTOOD' })
  })

  test('is an error when it does not have the path form either', async () => {
    const { request } = await open(() => OWN_NOT_FOUND)
    await expect(request(ids)).rejects.toMatchObject({ code: 'NOT_UNDERSTOOD' })
  })
})

test.each(FOREIGN_NOT_FOUND)(
  'the 404 of something else is an error, and the path form is not tried: %d %s',
  async (...reply) => {
    const { request, requests } = await open(() => reply)
    await expect(request(ids)).rejects.toMatchObject({ code: 'NOT_UNDERSTOOD' })
    await expect(request(ids)).rejects.toThrow(/404/)
    expect(requests).toEqual([QUERY, QUERY])
  },
)

test('a path form without a response is given up after the time-out', async () => {
  const { request, requests } = await open((url) => (isQuery(url) ? OWN_NOT_FOUND : null), 200)
  await expect(request(ids)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  expect(requests).toEqual([QUERY, PATH])
})
