import { once } from 'node:events'
import { get as httpGet, type IncomingMessage } from 'node:http'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FEED_LIMITS } from '../../src/http/feed.js'
import { fold } from '../../src/rules/fold.js'
import { createChangeListener } from '../../src/store/change-listener.js'
import { bearer, keys, listenOnLoopback, openApi } from '../_support/api.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { type FeedSubscription, subscribeToFeed } from '../_support/events.js'
import { openProxy } from '../_support/proxy.js'
import { KEY, serveApi } from '../_support/served-api.js'
import { CHECKPOINT, openTestStore } from '../_support/store.js'
import { DOMAIN } from '../_support/tenant.js'

const NOON = Date.parse('2026-11-23T12:00:00Z')
const authorization = `Bearer ${KEY}`

let database: TestDatabase
let store: Awaited<ReturnType<typeof openTestStore>>
let api: Awaited<ReturnType<typeof serveApi>>
beforeEach(async () => {
  database = await createTestDatabase()
  store = await openTestStore(database, { domain: DOMAIN })
  await store.setFirstCheckpoint(CHECKPOINT, null)
  api = await serveApi(database)
})
afterEach(async () => {
  await api.close()
  await store.close()
  await database.drop()
})

/** Stores a logout for each user number, in this order. The logout happened `n` milliseconds after noon. */
async function logOut(...numbers: number[]): Promise<void> {
  for (const n of numbers) {
    const event = {
      logId: `L${n}`,
      type: 'slo',
      at: NOON + n,
      userId: `auth0|${n}`,
      sessionId: null,
    }
    await store.storeBatch({ ...fold([event]), unattributable: [] })
  }
}

/** Serves the API from the same store, with a short heartbeat interval. */
async function serveWithShortHeartbeat() {
  const listener = createChangeListener(database.url, pino({ level: 'silent' }))
  const { subscribe } = listener
  const app = await openApi({
    ...store,
    subscribe,
    feedLimits: { ...FEED_LIMITS, heartbeatIntervalMs: 200 },
  })
  const close = async () => {
    await app.close()
    await listener.close()
  }
  return { url: await listenOnLoopback(app), close }
}

/** Requests a page of the change feed. */
const getPage = async (query = '') => {
  const response = await fetch(`${api.url}/v1/changes${query}`, { headers: { authorization } })
  const body = (await response.json()) as { changes: { user_id?: string }[]; cursor: string }
  return { status: response.status, body }
}
/** Waits for the first freshness event. The feed sends this event after all rows. */
const waitForLoad = (feed: FeedSubscription) =>
  expect.poll(() => feed.dataOf('freshness').length).toBeGreaterThan(0)
const userIdsOf = (feed: FeedSubscription) => feed.dataOf('change').map(({ user_id }) => user_id)

describe('GET /v1/changes', () => {
  test('the API returns users, sessions and the floor in commit order', async () => {
    const session = { logId: 'L', type: 'slo', at: NOON, userId: 'auth0|1', sessionId: 'S1' }
    await store.storeBatch({ ...fold([session]), unattributable: [] })
    await store.storeCaughtUp(CHECKPOINT, NOON + 5)
    await store.raiseFloor(NOON + 9)

    const { status, body } = await getPage()

    const at = '2026-11-23T12:00:00.000Z'
    expect(status).toBe(200)
    expect(body).toEqual({
      changes: [
        { kind: 'user', user_id: 'auth0|1', at, all_sessions_at: null, type: 'slo' },
        { kind: 'session', session_id: 'S1', user_id: 'auth0|1', at, ended: true, type: 'slo' },
        { kind: 'floor', at: '2026-11-23T12:00:00.009Z' },
      ],
      cursor: expect.any(String),
      as_of: '2026-11-23T12:00:00.005Z',
      lag_ms: expect.any(Number),
      policy: 'session',
      more: false,
    })
    expect(await getPage(`?after=${body.cursor}`)).toMatchObject({
      body: { changes: [], more: false },
    })
  })

  test('the API returns `as_of`, up to which the log has been read, only with the last of several pages', async () => {
    await logOut(1, 2, 3)
    await store.storeCaughtUp(CHECKPOINT, NOON + 5)
    const firstPage = await getPage('?limit=2')
    expect(firstPage.body).toMatchObject({ more: true, as_of: null, lag_ms: null })
    const secondPage = await getPage(`?limit=2&after=${firstPage.body.cursor}`)
    expect(secondPage.body).toMatchObject({ more: false, as_of: '2026-11-23T12:00:00.005Z' })
    const changesOfBothPages = [...firstPage.body.changes, ...secondPage.body.changes]
    expect(changesOfBothPages.map(({ user_id }) => user_id)).toEqual([
      'auth0|1',
      'auth0|2',
      'auth0|3',
    ])
  })

  test('the API returns a row that has changed twice only at its new position', async () => {
    await logOut(1, 2)
    const { body } = await getPage('?limit=1')
    const laterLogout = {
      logId: 'M',
      type: 'slo',
      at: NOON + 99,
      userId: 'auth0|1',
      sessionId: null,
    }
    await store.storeBatch({ ...fold([laterLogout]), unattributable: [] })
    const secondPage = await getPage(`?after=${body.cursor}`)
    expect(secondPage.body.changes.map(({ user_id }) => user_id)).toEqual(['auth0|2', 'auth0|1'])
  })

  test('the API omits rows that last changed before `since`, but never the floor', async () => {
    await logOut(1)
    await store.raiseFloor(NOON - 9)
    const { now } = await store.readProgress()
    // Waits for the next millisecond of the database's clock.
    await expect.poll(async () => (await store.readProgress()).now).toBeGreaterThan(now)
    await logOut(2)
    const { body } = await getPage(`?since=${new Date(now + 1).toISOString()}`)
    expect(body.changes).toMatchObject([
      { kind: 'floor', at: new Date(NOON - 9).toISOString() },
      { user_id: 'auth0|2' },
    ])
  })

  test.each([
    ['malformed', 'x'],
    ['from another feed', '0123456789ab.1'],
  ])('the API responds with 410 and advice to a cursor that is %s', async (_case, cursor) => {
    const { status, body } = await getPage(`?after=${cursor}`)
    expect(status).toBe(410)
    expect(body).toMatchObject({
      error: 'Gone',
      message: expect.stringContaining('load everything again'),
    })
  })

  test('the API responds with 410 to a cursor that is ahead of a restored database', async () => {
    await logOut(1, 2)
    const { body } = await getPage()
    // `seq` is the position of the last change in the feed.
    await database.query('UPDATE tenant SET seq = seq - 1')
    expect((await getPage(`?after=${body.cursor}`)).status).toBe(410)
  })

  test('an API with a copy of a database responds with 410 to the cursors of the original database', async () => {
    await logOut(1)
    const { body } = await getPage()
    await api.close()
    await store.close()
    const copy = await createTestDatabase(database)
    api = await serveApi(copy)
    expect((await getPage(`?after=${body.cursor}`)).status).toBe(410)
    await api.close()
    await copy.drop()
  })

  test('the API responds with 400 to an invalid instant or limit', async () => {
    const queries = [
      'since=yesterday',
      'since=2026-11-23T12:00:00',
      'limit=0',
      'limit=10001',
      'limit=x',
    ]
    for (const query of queries) {
      expect([query, (await getPage(`?${query}`)).status]).toEqual([query, 400])
    }
  })

  test('the API rejects a key without the role feed', async () => {
    await api.close()
    api = await serveApi(database, { API_KEYS: `test:${KEY}:read` })
    expect((await getPage()).status).toBe(403)
  })
})

describe('the event stream', () => {
  test('the stream sends all rows, then each change when it is committed', async () => {
    await logOut(1)
    const feed = await subscribeToFeed(api.url)
    await waitForLoad(feed)
    expect(userIdsOf(feed)).toEqual(['auth0|1'])

    const startedAt = performance.now()
    await logOut(2)
    await expect.poll(() => userIdsOf(feed), { interval: 5 }).toEqual(['auth0|1', 'auth0|2'])
    // Without a notification, the change would arrive only with the next heartbeat, up to four seconds later.
    expect(performance.now() - startedAt).toBeLessThan(2_000)
    await feed.close()
  })

  test('with load=columns, the stream sends the load in columns, and then each change as an event of its own', async () => {
    await logOut(1, 2)
    const feed = await subscribeToFeed(api.url, '?load=columns')
    await waitForLoad(feed)
    const names = feed.events.map(({ name }) => name)
    expect(names.slice(0, 3)).toEqual(['message', 'columns', 'freshness'])
    expect(feed.dataOf('columns')).toMatchObject([{ users: { user_id: ['auth0|1', 'auth0|2'] } }])
    await logOut(3)
    await expect.poll(() => userIdsOf(feed)).toEqual(['auth0|3'])
    await feed.close()
  })

  test('with load=columns and an unknown cursor, the stream sends `reset`, then the load in columns', async () => {
    await logOut(1)
    const feed = await subscribeToFeed(api.url, '?after=0123456789ab.1&load=columns')
    await waitForLoad(feed)
    const names = feed.events.map(({ name }) => name).filter((name) => name !== 'message')
    expect(names.slice(0, 3)).toEqual(['reset', 'columns', 'freshness'])
    await feed.close()
  })

  test('the stream sends a logout that is stored after the load, even if it happened long before', async () => {
    const feed = await subscribeToFeed(api.url, `?since=${new Date(NOON).toISOString()}`)
    await waitForLoad(feed)
    const seventyDaysMs = 70 * 86_400_000
    await logOut(-seventyDaysMs)
    await expect.poll(() => userIdsOf(feed)).toEqual([`auth0|${-seventyDaysMs}`])
    await feed.close()
  })

  test('the stream begins with a short chunk, and has the Content-Encoding identity', async () => {
    await logOut(...Array.from({ length: 20 }, (_, n) => n))
    const headers = { authorization, accept: 'text/event-stream', 'accept-encoding': 'gzip' }
    const request = httpGet(`${api.url}/v1/changes`, { headers })
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    const [firstChunk] = await once(response, 'data')
    expect(String(firstChunk)).toBe('retry: 1000\n\n')
    expect(response.headers['content-encoding']).toBe('identity')
    response.destroy()
  })

  test('the stream sends a freshness event only after all changes that were committed before it', async () => {
    const feed = await subscribeToFeed(api.url)
    for (let n = 1; n <= 40; n++) {
      await logOut(n)
      await store.storeCaughtUp(CHECKPOINT, NOON + n)
    }
    await expect.poll(() => feed.dataOf('freshness').at(-1)?.as_of).toBe('2026-11-23T12:00:00.040Z')
    // The logout n happened n ms after noon, and was stored before `as_of` moved to this instant.
    let newestChangeMs = 0
    for (const { name, data } of feed.events) {
      const { at, as_of } = JSON.parse(data || '{}')
      if (name === 'change') newestChangeMs = Date.parse(at)
      if (name === 'freshness' && as_of)
        expect(Date.parse(as_of)).toBeLessThanOrEqual(newestChangeMs)
    }
    expect(userIdsOf(feed)).toHaveLength(40)
    await feed.close()
  })

  test('the stream sends a freshness event at every heartbeat while nothing changes', async () => {
    await store.storeCaughtUp(CHECKPOINT, NOON)
    const shortHeartbeatServer = await serveWithShortHeartbeat()
    const feed = await subscribeToFeed(shortHeartbeatServer.url, '', bearer(keys.subscriber))
    // The load sends one freshness event, the start of LISTEN sends another, and heartbeats send the others.
    const countFreshness = () => feed.dataOf('freshness').length
    await expect.poll(countFreshness, { timeout: 5_000 }).toBeGreaterThan(3)
    expect(feed.dataOf('freshness').at(-1)).toEqual({
      cursor: expect.any(String),
      as_of: '2026-11-23T12:00:00.000Z',
      lag_ms: expect.any(Number),
      policy: 'session',
    })
    await feed.close()
    await shortHeartbeatServer.close()
  })

  test('the stream resumes after a cursor in `after` or in Last-Event-ID', async () => {
    await logOut(1)
    const { body } = await getPage()
    await logOut(2)
    const feedByQuery = await subscribeToFeed(api.url, `?after=${body.cursor}`)
    const feedByHeader = await subscribeToFeed(api.url, '', { 'last-event-id': body.cursor })
    for (const feed of [feedByQuery, feedByHeader]) {
      await waitForLoad(feed)
      expect(userIdsOf(feed)).toEqual(['auth0|2'])
      expect(feed.events.filter(({ name }) => name === 'change').at(-1)?.id).toBe(
        feed.dataOf('freshness').at(-1)?.cursor,
      )
      await feed.close()
    }
  })

  test('the stream prefers Last-Event-ID to `after`, because a reconnecting browser sends both', async () => {
    await logOut(1)
    const olderPage = await getPage()
    await logOut(2)
    const { body } = await getPage()
    await logOut(3)
    const headers = { 'last-event-id': body.cursor }
    const feed = await subscribeToFeed(api.url, `?after=${olderPage.body.cursor}`, headers)
    await waitForLoad(feed)
    expect(userIdsOf(feed)).toEqual(['auth0|3'])
    await feed.close()
  })

  test('the API rejects a HEAD request for the stream', async () => {
    const headers = { authorization, accept: 'text/event-stream' }
    const { status } = await fetch(`${api.url}/v1/changes`, { method: 'HEAD', headers })
    expect(status).toBe(404)
  })

  test('the stream sends `reset` for an unknown cursor, then all rows', async () => {
    await logOut(1)
    const feed = await subscribeToFeed(api.url, '?after=0123456789ab.1')
    await waitForLoad(feed)
    const names = feed.events.map(({ name }) => name).filter((name) => name !== 'message')
    expect(names.slice(0, 3)).toEqual(['reset', 'change', 'freshness'])
    await feed.close()
  })

  test('the stream contains the same changes in every API process', async () => {
    const otherApi = await serveApi(database)
    const feeds = [await subscribeToFeed(api.url), await subscribeToFeed(otherApi.url)]
    await logOut(1, 2, 3)
    for (const feed of feeds) {
      await expect.poll(() => userIdsOf(feed)).toEqual(['auth0|1', 'auth0|2', 'auth0|3'])
      await feed.close()
    }
    await otherApi.close()
  })

  test('the stream sends changes that were committed while the LISTEN connection was lost', async () => {
    const feed = await subscribeToFeed(api.url)
    await waitForLoad(feed)
    const terminateListeners = () =>
      database.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE query LIKE '%LISTEN%' AND pid <> pg_backend_pid() AND datname = current_database()`,
      )
    // On a busy machine, the subscriber can load before the API listens.
    await expect.poll(terminateListeners).toHaveLength(1)
    await logOut(1)
    await expect.poll(() => userIdsOf(feed), { timeout: 3_000 }).toEqual(['auth0|1'])
    await feed.close()
  })

  test('the stream sends a change at the next heartbeat if its notification is lost', async () => {
    // Without this trigger, the API receives no notifications.
    await database.query('DROP TRIGGER tenant_notify ON tenant')
    const shortHeartbeatServer = await serveWithShortHeartbeat()
    const feed = await subscribeToFeed(shortHeartbeatServer.url, '', bearer(keys.subscriber))
    await waitForLoad(feed)
    await logOut(1)
    await expect.poll(() => userIdsOf(feed), { timeout: 6_000 }).toEqual(['auth0|1'])
    await feed.close()
    await shortHeartbeatServer.close()
  })

  test('the API responds with 503 to a new subscriber while the database is unavailable', async () => {
    const proxy = await openProxy(database.url)
    const apiBehindProxy = await serveApi({ url: proxy.url })
    const feed = await subscribeToFeed(apiBehindProxy.url)
    await waitForLoad(feed)
    await proxy.close()
    await expect(subscribeToFeed(apiBehindProxy.url)).rejects.toThrow('503')
    await apiBehindProxy.close()
    await feed.close()
  })

  test('the stream ends at once when the service closes', async () => {
    const feed = await subscribeToFeed(api.url)
    const startedAt = performance.now()
    await api.close()
    expect(performance.now() - startedAt).toBeLessThan(3_000)
    await feed.close()
  })
})
