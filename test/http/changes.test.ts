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
  await store.begin(CHECKPOINT, null)
  api = await serveApi(database)
})
afterEach(async () => {
  await api.close()
  await store.close()
  await database.drop()
})

/** Stores a logout of each of these users, in this order. */
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

/** Serves the API over the same store, with a heartbeat that a test can wait for. */
async function serveWithHeartbeat() {
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

const get = async (query = '') => {
  const response = await fetch(`${api.url}/v1/changes${query}`, { headers: { authorization } })
  const body = (await response.json()) as { changes: { user_id?: string }[]; cursor: string }
  return { status: response.status, body }
}
/** Waits for the end of the load. */
const loaded = (feed: FeedSubscription) =>
  expect.poll(() => feed.dataOf('freshness').length).toBeGreaterThan(0)
const users = (feed: FeedSubscription) => feed.dataOf('change').map(({ user_id }) => user_id)

describe('GET /v1/changes', () => {
  test('returns users, sessions and the floor in commit order', async () => {
    const session = { logId: 'L', type: 'slo', at: NOON, userId: 'auth0|1', sessionId: 'S1' }
    await store.storeBatch({ ...fold([session]), unattributable: [] })
    await store.storeCaughtUp(CHECKPOINT, NOON + 5)
    await store.raiseFloor(NOON + 9)

    const { status, body } = await get()

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
    expect(await get(`?after=${body.cursor}`)).toMatchObject({ body: { changes: [], more: false } })
  })

  test('returns several pages, and a freshness only with the last page', async () => {
    await logOut(1, 2, 3)
    await store.storeCaughtUp(CHECKPOINT, NOON + 5)
    const first = await get('?limit=2')
    expect(first.body).toMatchObject({ more: true, as_of: null, lag_ms: null })
    const second = await get(`?limit=2&after=${first.body.cursor}`)
    expect(second.body).toMatchObject({ more: false, as_of: '2026-11-23T12:00:00.005Z' })
    const seen = [...first.body.changes, ...second.body.changes]
    expect(seen.map(({ user_id }) => user_id)).toEqual(['auth0|1', 'auth0|2', 'auth0|3'])
  })

  test('returns a row that changed again only at its new position', async () => {
    await logOut(1, 2)
    const { body } = await get('?limit=1')
    const again = { logId: 'M', type: 'slo', at: NOON + 99, userId: 'auth0|1', sessionId: null }
    await store.storeBatch({ ...fold([again]), unattributable: [] })
    const rest = await get(`?after=${body.cursor}`)
    expect(rest.body.changes.map(({ user_id }) => user_id)).toEqual(['auth0|2', 'auth0|1'])
  })

  test('omits rows that last changed before `since`, but never the floor', async () => {
    await logOut(1)
    await store.raiseFloor(NOON - 9)
    const { now } = await store.readProgress()
    await expect.poll(async () => (await store.readProgress()).now).toBeGreaterThan(now)
    await logOut(2)
    const { body } = await get(`?since=${new Date(now + 1).toISOString()}`)
    expect(body.changes).toMatchObject([
      { kind: 'floor', at: new Date(NOON - 9).toISOString() },
      { user_id: 'auth0|2' },
    ])
  })

  test.each([
    ['malformed', 'x'],
    ['of another feed', '0123456789ab.1'],
  ])('rejects a cursor that is %s with 410, and says what to do', async (_what, cursor) => {
    const { status, body } = await get(`?after=${cursor}`)
    expect(status).toBe(410)
    expect(body).toMatchObject({
      error: 'Gone',
      message: expect.stringContaining('load everything again'),
    })
  })

  test('rejects a cursor that is ahead, as after a restore, with 410', async () => {
    await logOut(1, 2)
    const { body } = await get()
    await database.query('UPDATE tenant SET seq = seq - 1')
    expect((await get(`?after=${body.cursor}`)).status).toBe(410)
  })

  test('rejects a cursor of the database that this one was copied from with 410', async () => {
    await logOut(1)
    const { body } = await get()
    await api.close()
    await store.close()
    const copy = await createTestDatabase(database)
    api = await serveApi(copy)
    expect((await get(`?after=${body.cursor}`)).status).toBe(410)
    await api.close()
    await copy.drop()
  })

  test('rejects an invalid instant or limit with 400', async () => {
    const queries = [
      'since=yesterday',
      'since=2026-11-23T12:00:00',
      'limit=0',
      'limit=10001',
      'limit=x',
    ]
    for (const query of queries) {
      expect([query, (await get(`?${query}`)).status]).toEqual([query, 400])
    }
  })

  test('rejects a key without the role', async () => {
    await api.close()
    api = await serveApi(database, { API_KEYS: `test:${KEY}:read` })
    expect((await get()).status).toBe(403)
  })
})

describe('the event stream', () => {
  test('sends all rows, then each change when it is committed', async () => {
    await logOut(1)
    const feed = await subscribeToFeed(api.url)
    await loaded(feed)
    expect(users(feed)).toEqual(['auth0|1'])

    const startedAt = performance.now()
    await logOut(2)
    await expect.poll(() => users(feed), { interval: 5 }).toEqual(['auth0|1', 'auth0|2'])
    // The heartbeat alone would take seconds.
    expect(performance.now() - startedAt).toBeLessThan(2_000)
    await feed.close()
  })

  test('sends a logout that is stored after the load, however old it is', async () => {
    const feed = await subscribeToFeed(api.url, `?since=${new Date(NOON).toISOString()}`)
    await loaded(feed)
    await logOut(-70 * 86_400_000)
    await expect.poll(() => users(feed)).toEqual(['auth0|-6048000000'])
    await feed.close()
  })

  test('begins with a short chunk, and declares that it is not compressed', async () => {
    await logOut(...Array.from({ length: 20 }, (_, n) => n))
    const headers = { authorization, accept: 'text/event-stream', 'accept-encoding': 'gzip' }
    const request = httpGet(`${api.url}/v1/changes`, { headers })
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    const [first] = await once(response, 'data')
    expect(String(first)).toBe('retry: 1000\n\n')
    expect(response.headers['content-encoding']).toBe('identity')
    response.destroy()
  })

  test('sends a freshness only after every change that was committed before it', async () => {
    const feed = await subscribeToFeed(api.url)
    const storeAll = async () => {
      for (let n = 1; n <= 40; n++) {
        await logOut(n)
        await store.storeCaughtUp(CHECKPOINT, NOON + n)
      }
    }
    await storeAll()
    await expect.poll(() => feed.dataOf('freshness').at(-1)?.as_of).toBe('2026-11-23T12:00:00.040Z')
    let newest = 0
    for (const { name, data } of feed.events) {
      const { at, as_of } = JSON.parse(data || '{}')
      if (name === 'change') newest = Date.parse(at)
      if (name === 'freshness' && as_of) expect(Date.parse(as_of)).toBeLessThanOrEqual(newest)
    }
    expect(users(feed)).toHaveLength(40)
    await feed.close()
  })

  test('sends the freshness at every heartbeat while nothing changes', async () => {
    await store.storeCaughtUp(CHECKPOINT, NOON)
    const served = await serveWithHeartbeat()
    const feed = await subscribeToFeed(served.url, '', bearer(keys.subscriber))
    // The load sends one, the start of LISTEN another. The rest are heartbeats.
    const countFreshness = () => feed.dataOf('freshness').length
    await expect.poll(countFreshness, { timeout: 5_000 }).toBeGreaterThan(3)
    expect(feed.dataOf('freshness').at(-1)).toEqual({
      cursor: expect.any(String),
      as_of: '2026-11-23T12:00:00.000Z',
      lag_ms: expect.any(Number),
      policy: 'session',
    })
    await feed.close()
    await served.close()
  })

  test('resumes after a cursor in `after` or in Last-Event-ID', async () => {
    await logOut(1)
    const { body } = await get()
    await logOut(2)
    const byQuery = await subscribeToFeed(api.url, `?after=${body.cursor}`)
    const byHeader = await subscribeToFeed(api.url, '', { 'last-event-id': body.cursor })
    for (const feed of [byQuery, byHeader]) {
      await loaded(feed)
      expect(users(feed)).toEqual(['auth0|2'])
      expect(feed.events.filter(({ name }) => name === 'change').at(-1)?.id).toBe(
        feed.dataOf('freshness').at(-1)?.cursor,
      )
      await feed.close()
    }
  })

  test('prefers Last-Event-ID to `after`, because a browser that reconnects sends both', async () => {
    await logOut(1)
    const old = await get()
    await logOut(2)
    const { body } = await get()
    await logOut(3)
    const headers = { 'last-event-id': body.cursor }
    const feed = await subscribeToFeed(api.url, `?after=${old.body.cursor}`, headers)
    await loaded(feed)
    expect(users(feed)).toEqual(['auth0|3'])
    await feed.close()
  })

  test('rejects HEAD, which would read the feed without sending it', async () => {
    const headers = { authorization, accept: 'text/event-stream' }
    const { status } = await fetch(`${api.url}/v1/changes`, { method: 'HEAD', headers })
    expect(status).toBe(404)
  })

  test('sends `reset` for an unknown cursor, then all rows', async () => {
    await logOut(1)
    const feed = await subscribeToFeed(api.url, '?after=0123456789ab.1')
    await loaded(feed)
    const names = feed.events.map(({ name }) => name).filter((name) => name !== 'message')
    expect(names.slice(0, 3)).toEqual(['reset', 'change', 'freshness'])
    await feed.close()
  })

  test('sends the same changes from every API process', async () => {
    const other = await serveApi(database)
    const feeds = [await subscribeToFeed(api.url), await subscribeToFeed(other.url)]
    await logOut(1, 2, 3)
    for (const feed of feeds) {
      await expect.poll(() => users(feed)).toEqual(['auth0|1', 'auth0|2', 'auth0|3'])
      await feed.close()
    }
    await other.close()
  })

  test('continues when the LISTEN connection is lost, and sends the changes missed meanwhile', async () => {
    const feed = await subscribeToFeed(api.url)
    await loaded(feed)
    const cut = await database.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE query LIKE '%LISTEN%' AND pid <> pg_backend_pid() AND datname = current_database()`,
    )
    expect(cut).toHaveLength(1)
    await logOut(1)
    await expect.poll(() => users(feed), { timeout: 3_000 }).toEqual(['auth0|1'])
    await feed.close()
  })

  test('sends a change at the next heartbeat if its notification is lost', async () => {
    // A transaction pooler has this effect on LISTEN.
    await database.query('DROP TRIGGER tenant_notify ON tenant')
    const served = await serveWithHeartbeat()
    const feed = await subscribeToFeed(served.url, '', bearer(keys.subscriber))
    await loaded(feed)
    await logOut(1)
    await expect.poll(() => users(feed), { timeout: 6_000 }).toEqual(['auth0|1'])
    await feed.close()
    await served.close()
  })

  test('responds with 503 while the database is unavailable', async () => {
    const proxy = await openProxy(database.url)
    const behind = await serveApi({ url: proxy.url })
    const feed = await subscribeToFeed(behind.url)
    await loaded(feed)
    await proxy.close()
    await expect(subscribeToFeed(behind.url)).rejects.toThrow('503')
    await behind.close()
    await feed.close()
  })

  test('ends at once when the service closes', async () => {
    const feed = await subscribeToFeed(api.url)
    const startedAt = performance.now()
    await api.close()
    expect(performance.now() - startedAt).toBeLessThan(3_000)
    await feed.close()
  })
})
