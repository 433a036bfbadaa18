import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { LastLogoutClient } from '../../src/client/index.js'
import { openClient } from '../_support/client.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { type FeedSubscription, subscribeToFeed } from '../_support/events.js'
import { eventText, freshnessData, openScriptedFeed } from '../_support/scripted-feed.js'
import { serveApi } from '../_support/served-api.js'
import { CHECKPOINT, openTestStore } from '../_support/store.js'
import { DOMAIN } from '../_support/tenant.js'
import { listedAsWorking } from './compatibility.js'
import { caddyWith, type RunningProxy, startProxy } from './proxy-programs.js'

/*
 * The change feed is a response that never ends. A proxy that compresses it can hold back the last events, so these
 * tests check that all events arrive.
 */

const CADDY = caddyWith('encode gzip')

/** The length from which Caddy compresses a response. */
const MIN_COMPRESSED_BYTES = 512

/** The number of users who have logged out. Their changes are much longer than {@link MIN_COMPRESSED_BYTES}. */
const USER_COUNT = 50

/** The claims of a token that was issued an hour ago, before all logouts of these tests. */
const oldClaims = (sub: string) => ({ sub, iat: Math.floor(Date.now() / 1000) - 3_600 })

const COMPATIBILITY = listedAsWorking(
  'Reverse proxies before the API',
  'Caddy with `encode gzip`, change feed',
)

describe('behind Caddy with `encode gzip`', COMPATIBILITY, () => {
  let database: TestDatabase
  let store: Awaited<ReturnType<typeof openTestStore>>
  let api: Awaited<ReturnType<typeof serveApi>>
  let caddy: RunningProxy
  beforeAll(async () => {
    database = await createTestDatabase()
    store = await openTestStore(database, { domain: DOMAIN })
    await store.setFirstCheckpoint(CHECKPOINT, null)
    await store.storeCaughtUp(CHECKPOINT, Date.now())
    for (let n = 0; n < USER_COUNT; n++) await storeLogout(`auth0|${n}`)
    api = await serveApi(database)
    caddy = await startProxy(CADDY, api.url)
  })
  afterAll(async () => {
    await caddy.close()
    await api.close()
    await store.close()
    await database.drop()
  })

  const storeLogout = (userId: string) =>
    store.storeReported({ userId, sessionId: null, at: Date.now(), type: 'reported' })
  /** Returns the user ids of the change events that a subscription has received. */
  const receivedUsers = (feed: FeedSubscription) =>
    feed.dataOf('change').map(({ user_id }) => user_id)

  test('a client loads the stored logouts, and then receives a new logout', async () => {
    const client = openClient(caddy.url)
    try {
      await client.ready()
      expect(client.checkNow(oldClaims('auth0|0')).outcome).toBe('revoked')
      await storeLogout('auth0|new')
      await expect.poll(() => client.checkNow(oldClaims('auth0|new')).outcome).toBe('revoked')
    } finally {
      await client.close()
    }
  })

  test('a subscriber that accepts gzip receives the stored logouts, and then a new logout', async () => {
    const urlWithoutSlash = caddy.url.slice(0, -1)
    const query = ''
    const feed = await subscribeToFeed(urlWithoutSlash, query, { 'accept-encoding': 'gzip' })
    try {
      await expect.poll(() => receivedUsers(feed).length).toBeGreaterThanOrEqual(USER_COUNT)
      await storeLogout('auth0|newer')
      await expect.poll(() => receivedUsers(feed)).toContain('auth0|newer')
    } finally {
      await feed.close()
    }
  })
})

test('a client behind Caddy loads the feed if the first chunk of the feed is so long that Caddy compresses it', async () => {
  const at = new Date().toISOString()
  const user_id = 'x'.repeat(MIN_COMPRESSED_BYTES)
  const change = { kind: 'user', user_id, at, all_sessions_at: at, type: 'slo' }
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
