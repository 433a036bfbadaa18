import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { LastLogoutStore } from '../../src/ports.js'
import { buildEntry } from '../../src/simulator/entries.js'
import { reconcile } from '../../src/sync/poll.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { POLL_OPTIONS, TYPES } from '../_support/poll.js'
import { openTestStore } from '../_support/store.js'
import { openTenant, type TestTenant } from '../_support/tenant.js'

const HOUR = 3_600_000

let database: TestDatabase
let store: LastLogoutStore & { close(): Promise<void> }
let t: TestTenant
/** How far the `Date` of Auth0's responses is ahead of the real time, in milliseconds; negative: behind. */
let dateAheadMs = 0
beforeEach(async () => {
  dateAheadMs = 0
  database = await createTestDatabase()
  store = await openTestStore(database)
  t = await openTenant({}, { clockAheadMs: () => dateAheadMs })
})
afterEach(async () => {
  await t.close()
  await store.close()
  await database.drop()
})

const { signal } = new AbortController()
const run = () => reconcile({ source: t.source, store, types: TYPES }, POLL_OPTIONS, signal)
const logOut = (userId: string) => t.tenant.write(buildEntry('slo', { userId, sessionId: userId }))
const isKnown = async (userId: string) => (await store.readKnown(userId, null)).user !== null

describe('a Date of Auth0 that is an hour ahead', () => {
  test('does not count as freshness, neither while it is ahead nor later', async () => {
    logOut('auth0|1')
    await run()
    const before = await store.readProgress()
    dateAheadMs = HOUR
    logOut('auth0|2')
    await expect(run()).rejects.toMatchObject({ code: 'CLOCK_AHEAD' })
    const { asOf, now } = await store.readProgress()
    expect(asOf).toBeGreaterThanOrEqual(before.asOf ?? 0)
    expect(asOf).toBeLessThanOrEqual(now)
    await expect(isKnown('auth0|2')).resolves.toBe(true)

    dateAheadMs = 0
    logOut('auth0|3')
    await run()
    const after = await store.readProgress()
    expect(after.asOf).toBeLessThanOrEqual(after.now)
    expect(after.asOf).toBeGreaterThan(after.now - 10_000)
    await expect(isKnown('auth0|3')).resolves.toBe(true)
  })

  test('hides no logout of the hour after a first start', async () => {
    dateAheadMs = HOUR
    logOut('auth0|1')
    await expect(run()).rejects.toMatchObject({ code: 'CLOCK_AHEAD' })
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: null })
    dateAheadMs = 0
    logOut('auth0|2')
    await run()
    await expect(isKnown('auth0|1')).resolves.toBe(true)
    await expect(isKnown('auth0|2')).resolves.toBe(true)
  })
})

test('a Date of Auth0 that is an hour behind makes the data look an hour old, and loses no logout', async () => {
  dateAheadMs = -HOUR
  logOut('auth0|1')
  await run()
  const { user, asOf, now } = await store.readKnown('auth0|1', null)
  expect(user?.at).toBeGreaterThan(now - 10_000)
  expect(asOf).toBeLessThan(now - HOUR + 10_000)
  await expect(store.count()).resolves.toMatchObject({ unattributable: {} })
})
