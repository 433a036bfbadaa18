import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { LastLogoutStore } from '../../src/ports.js'
import { buildEntry } from '../../src/simulator/entries.js'
import { reconcile } from '../../src/sync/poll.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { HOUR, LOGOUT_TYPES, POLL_OPTIONS, SECOND } from '../_support/poll.js'
import { openTestStore } from '../_support/store.js'
import { openTenant, type TestTenant } from '../_support/tenant.js'

// Auth0 states its time in the HTTP header `Date` of each response. `as_of`, the instant up to which the log is known
// to have been read, follows this time. `reconcile` reads the log to its end, and searches the recent log again.

let database: TestDatabase
let store: LastLogoutStore & { close(): Promise<void> }
let auth0: TestTenant
/** The time in Auth0's header `Date` minus the real time, in milliseconds. */
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
const isLogoutStored = async (userId: string) =>
  (await store.readKnownLogouts(userId, null)).user !== null

describe('while the header Date of Auth0 is an hour ahead', () => {
  test('as_of never moves ahead of the clock of the database, and advances again after the header is correct', async () => {
    logOut('auth0|1')
    await runReconcile()
    const progressBefore = await store.readProgress()
    dateAheadMs = HOUR
    logOut('auth0|2')
    await expect(runReconcile()).rejects.toMatchObject({ code: 'CLOCK_AHEAD' })
    const { asOf, now } = await store.readProgress()
    expect(asOf).toBeGreaterThanOrEqual(progressBefore.asOf ?? 0)
    expect(asOf).toBeLessThanOrEqual(now)
    await expect(isLogoutStored('auth0|2')).resolves.toBe(true)

    dateAheadMs = 0
    logOut('auth0|3')
    await runReconcile()
    const progressAfter = await store.readProgress()
    expect(progressAfter.asOf).toBeLessThanOrEqual(progressAfter.now)
    expect(progressAfter.asOf).toBeGreaterThan(progressAfter.now - 10 * SECOND)
    await expect(isLogoutStored('auth0|3')).resolves.toBe(true)
  })

  test('a first start loses no logout, although its first reconcile fails with CLOCK_AHEAD', async () => {
    dateAheadMs = HOUR
    logOut('auth0|1')
    await expect(runReconcile()).rejects.toMatchObject({ code: 'CLOCK_AHEAD' })
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: null })
    dateAheadMs = 0
    logOut('auth0|2')
    await runReconcile()
    await expect(isLogoutStored('auth0|1')).resolves.toBe(true)
    await expect(isLogoutStored('auth0|2')).resolves.toBe(true)
  })
})

test('if the header Date of Auth0 is an hour behind, as_of is an hour old, but a logout gets its correct instant', async () => {
  dateAheadMs = -HOUR
  logOut('auth0|1')
  await runReconcile()
  const { user, asOf, now } = await store.readKnownLogouts('auth0|1', null)
  expect(user?.at).toBeGreaterThan(now - 10 * SECOND)
  expect(asOf).toBeLessThan(now - HOUR + 10 * SECOND)
  // No entry was classified as unusable.
  await expect(store.count()).resolves.toMatchObject({ unattributable: {} })
})
