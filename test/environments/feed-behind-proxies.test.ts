import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { LastLogoutClient } from '../../src/client/index.js'
import { openClient } from '../_support/client.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { type FeedSubscription, subscribeToFeed } from '../_support/events.js'
import { eventText, freshnessData, openScriptedFeed } from '../_support/scripted-feed.js'
import { serveApi } from '../_support/served-api.js'
import { CHECKPOINT, openTestStore } from '../_support/store.js'
import { DOMAIN } from '../_support/tenant.js'
import { worksIn } from './compatibility.js'
import { caddyWith, type RunningProxy, startProxy } from './proxy-programs.js'

const CADDY = caddyWith('encode gzip')

/** Caddy compresses responses of more than 512 bytes. The changes of this many users are much longer. */
const USER_COUNT = 50

const loginClaims = (sub: string) => ({ sub, iat: Math.floor(Date.now() / 1000) - 3_600 })

const COMPRESSING = worksIn(
  'Reverse proxies before the API',
  'Caddy with `encode gzip`, change feed',
)

describe('behind Caddy with `encode gzip`', COMPRESSING, () => {
  let database: TestDatabase
  let store: Awaited<ReturnType<typeof openTestStore>>
  let api: Awaited<ReturnType<typeof serveApi>>
  let caddy: RunningProxy
  beforeAll(async () => {
    database = await createTestDatabase()
    store = await openTestStore(database, { domain: DOMAIN })
    await store.setFirstCheckpoint(CHECKPOINT, null)
    await store.storeCaughtUp(CHECKPOINT, Date.now())
    for (let n = 0; n < USER_COUNT; n++) await report(`auth0|${n}`)
    api = await serveApi(database)
    caddy = await startProxy(CADDY, api.url)
  })
  afterAll(async () => {
    await caddy.close()
    await api.close()
    await store.close()
    await database.drop()
  })

  const report = (userId: string) =>
    store.storeReported({ userId, sessionId: null, at: Date.now(), type: 'reported' })
  const usersOf = (feed: FeedSubscription) => feed.dataOf('change').map(({ user_id }) => user_id)

  test('a client becomes ready and receives a new change', async () => {
    const client = openClient(caddy.url)
    try {
      await client.ready()
      expect(client.checkNow(loginClaims('auth0|0')).outcome).toBe('revoked')
      await report('auth0|new')
      await expect.poll(() => client.checkNow(loginClaims('auth0|new')).outcome).toBe('revoked')
    } finally {
      await client.close()
    }
  })

  test('a subscriber that accepts gzip receives all changes, and later a new change', async () => {
    const feed = await subscribeToFeed(caddy.url.slice(0, -1), '', { 'accept-encoding': 'gzip' })
    try {
      await expect.poll(() => usersOf(feed).length).toBeGreaterThanOrEqual(USER_COUNT)
      await report('auth0|newer')
      await expect.poll(() => usersOf(feed)).toContain('auth0|newer')
    } finally {
      await feed.close()
    }
  })
})

test('a client behind Caddy becomes ready if the first chunk of the feed is long', async () => {
  const at = new Date().toISOString()
  const change = { kind: 'user', user_id: 'x'.repeat(600), at, all_sessions_at: at, type: 'slo' }
  const scriptedFeed = await openScriptedFeed((response) =>
    response.write(
      eventText('change', change, 'f.1') + eventText('freshness', freshnessData(Date.now()), 'f.1'),
    ),
  )
  const caddy = await startProxy(CADDY, scriptedFeed.url)
  let client: LastLogoutClient | undefined
  try {
    client = openClient(caddy.url)
    await client.ready()
  } finally {
    await client?.close()
    await caddy.close()
    await scriptedFeed.close()
  }
})
