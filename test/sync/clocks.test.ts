import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { LastLogoutStore } from '../../src/ports.js'
import { buildEntry } from '../../src/simulator/entries.js'
import { reconcile } from '../../src/sync/poll.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { LOGOUT_TYPES, POLL_OPTIONS } from '../_support/poll.js'
import { openTestStore } from '../_support/store.js'
import { openTenant, type TestTenant } from '../_support/tenant.js'

const HOUR_MS = 3_600_000

let database: TestDatabase
let store: LastLogoutStore & { close(): Promise<void> }
let auth0: TestTenant
/** Auth0's header `Date` minus the real time, in milliseconds. */
let dateAheadMs = 0
beforeEach(async () => {
  dateAheadMs = 0
  database = await createTestDatabase()
  store = await openTestStore(database)
  auth0 = await openTenant({}, { clockAheadMs: () => dateAheadMs })
})
afterEach(async () => {
  await auth0.close()
  await store.close()
  await database.drop()
})

const { signal } = new AbortController()
const runReconcile = () =>
  reconcile({ source: auth0.source, store, types: LOGOUT_TYPES }, POLL_OPTIONS, signal)
const logOut = (userId: string) =>
  auth0.tenant.write(buildEntry('slo', { userId, sessionId: userId }))
const isKnown = async (userId: string) => (await store.readKnownLogouts(userId, null)).user !== null

describe('the header Date of Auth0 is an hour ahead', () => {
  test('as_of never moves ahead of now, and advances again when the Date is correct', async () => {
    logOut('auth0|1')
    await runReconcile()
    const progressBefore = await store.readProgress()
    dateAheadMs = HOUR_MS
    logOut('auth0|2')
    await expect(runReconcile()).rejects.toMatchObject({ code: 'CLOCK_AHEAD' })
    const { asOf, now } = await store.readProgress()
    expect(asOf).toBeGreaterThanOrEqual(progressBefore.asOf ?? 0)
    expect(asOf).toBeLessThanOrEqual(now)
    await expect(isKnown('auth0|2')).resolves.toBe(true)

    dateAheadMs = 0
    logOut('auth0|3')
    await runReconcile()
    const progressAfter = await store.readProgress()
    expect(progressAfter.asOf).toBeLessThanOrEqual(progressAfter.now)
    expect(progressAfter.asOf).toBeGreaterThan(progressAfter.now - 10_000)
    await expect(isKnown('auth0|3')).resolves.toBe(true)
  })

  test('a first start loses no logout if the header Date is an hour ahead', async () => {
    dateAheadMs = HOUR_MS
    logOut('auth0|1')
    await expect(runReconcile()).rejects.toMatchObject({ code: 'CLOCK_AHEAD' })
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: null })
    dateAheadMs = 0
    logOut('auth0|2')
    await runReconcile()
    await expect(isKnown('auth0|1')).resolves.toBe(true)
    await expect(isKnown('auth0|2')).resolves.toBe(true)
  })
})

test('if the header Date of Auth0 is an hour behind, as_of is an hour old and no logout is lost', async () => {
  dateAheadMs = -HOUR_MS
  logOut('auth0|1')
  await runReconcile()
  const { user, asOf, now } = await store.readKnownLogouts('auth0|1', null)
  expect(user?.at).toBeGreaterThan(now - 10_000)
  expect(asOf).toBeLessThan(now - HOUR_MS + 10_000)
  await expect(store.count()).resolves.toMatchObject({ unattributable: {} })
})
