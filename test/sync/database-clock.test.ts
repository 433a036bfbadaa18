import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { LastLogoutStore } from '../../src/ports.js'
import { buildEntry } from '../../src/simulator/entries.js'
import type { SimulatorOptions } from '../../src/simulator/server.js'
import { poll } from '../../src/sync/poll.js'
import { type Clock, createClock } from '../_support/clock.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { DAY, HOUR, LOGOUT_TYPES, MINUTE, POLL_OPTIONS, SECOND } from '../_support/poll.js'
import { openTestStore } from '../_support/store.js'
import { openTenant, type TestTenant } from '../_support/tenant.js'

// The clock of the database is set back for some time, and is then corrected. No stored instant may be later than this
// clock. A poll reads the log of Auth0 to its end.

/** The clock of Auth0. It moves only when a test moves it. */
let clock: Clock
/** The clock of the database minus the clock of Auth0, in milliseconds. */
let databaseAheadMs = 0
let database: TestDatabase
let store: LastLogoutStore & { close(): Promise<void> }
let auth0: TestTenant
beforeEach(async () => {
  clock = createClock()
  databaseAheadMs = 0
  database = await createTestDatabase()
  store = await openTestStore(database, { now: () => clock.now() + databaseAheadMs })
})
afterEach(async () => {
  await Promise.all([auth0.close(), store.close()])
  await database.drop()
})

/** Opens a tenant that retains entries for a day. Its tokens outlive the days that pass in a test. */
const openTestTenant = async (simulatorOptions: Partial<SimulatorOptions> = {}) => {
  const tenantOptions = { now: clock.now, retentionMs: DAY }
  const expiresInSeconds = (365 * DAY) / SECOND
  auth0 = await openTenant(tenantOptions, { expiresInSeconds, ...simulatorOptions })
}
const { signal } = new AbortController()
const runPoll = () =>
  poll({ source: auth0.source, store, types: LOGOUT_TYPES }, POLL_OPTIONS, signal)
const logOut = (userId: string) =>
  auth0.tenant.write(buildEntry('slo', { userId, sessionId: userId }))
/** Reads the stored instant of the last logout of a user. */
const readLogoutAt = async (userId: string) => (await store.readKnownLogouts(userId, null)).user?.at

describe('after the clock of the database was temporarily behind', () => {
  test.each([
    ['an hour', HOUR],
    ['61 s', 61 * SECOND],
  ])(
    'a logout that was read while the clock was %s behind gets its correct instant, and as_of advances again',
    async (_duration, behindMs) => {
      await openTestTenant()
      logOut('auth0|0')
      clock.pass(5 * SECOND)
      await runPoll()

      databaseAheadMs = -behindMs
      const at = clock.now()
      logOut('auth0|1')
      await expect(runPoll()).rejects.toMatchObject({ code: 'CLOCK_AHEAD' })
      // The logout counts at once, although its stored instant is too early.
      await expect(readLogoutAt('auth0|1')).resolves.toBe(at - behindMs)

      databaseAheadMs = 0
      clock.pass(5 * SECOND)
      await runPoll()
      const { asOf, now } = await store.readProgress()
      expect(asOf).toBeGreaterThan(now - SECOND)
      await expect(readLogoutAt('auth0|1')).resolves.toBe(at)
    },
  )

  // A checkpoint has expired when Auth0 has deleted its entry. Auth0 refuses it, or continues with the oldest entry.
  test.each([400, 404, 'continue'] as const)(
    'a gap is recorded once the clock is correct, if Auth0 responds to an expired checkpoint with %s',
    async (expiredCheckpoint) => {
      await openTestTenant({ expiredCheckpoint })
      logOut('auth0|0')
      clock.pass(5 * SECOND)
      await runPoll()
      const { asOf } = await store.readProgress()

      // No poll runs for longer than the retention, so Auth0 deletes entries that were not read: the gap. When polls
      // run again, the clock of the database is three days behind.
      clock.pass(2 * DAY)
      databaseAheadMs = -3 * DAY
      const oldestAt = clock.now()
      logOut('auth0|1')
      clock.pass(5 * SECOND)
      await expect(runPoll()).rejects.toMatchObject({ code: 'CLOCK_AHEAD' })
      databaseAheadMs = 0
      clock.pass(MINUTE)
      await runPoll()
      await expect(store.readGaps()).resolves.toMatchObject([{ from: asOf, to: oldestAt }])
    },
  )
})
