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

let clock: Clock
/** Clock of the database minus clock of the test, in milliseconds. */
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

const openTestTenant = async (simulator: Partial<SimulatorOptions> = {}) => {
  const tenantOptions = { now: clock.now, retentionMs: DAY }
  auth0 = await openTenant(tenantOptions, { expiresInSeconds: 365 * 86_400, ...simulator })
}
const { signal } = new AbortController()
const runPoll = () =>
  poll({ source: auth0.source, store, types: LOGOUT_TYPES }, POLL_OPTIONS, signal)
const logOut = (userId: string) =>
  auth0.tenant.write(buildEntry('slo', { userId, sessionId: userId }))
const readInstant = async (userId: string) => (await store.readKnownLogouts(userId, null)).user?.at

describe('the clock of the database is temporarily behind', () => {
  test.each([
    ['an hour', HOUR],
    ['61 s', 61 * SECOND],
  ])(
    'as_of does not advance while the clock is %s behind, and each logout gets its correct instant afterwards',
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
      await expect(readInstant('auth0|1')).resolves.toBe(at - behindMs)

      databaseAheadMs = 0
      clock.pass(5 * SECOND)
      await runPoll()
      const { asOf, now } = await store.readProgress()
      expect(asOf).toBeGreaterThan(now - SECOND)
      await expect(readInstant('auth0|1')).resolves.toBe(at)
    },
  )

  test.each([400, 404, 'continue'] as const)(
    'a gap is recorded after the clock is correct again, if Auth0 responds to the expired checkpoint with %s',
    async (expiredCheckpoint) => {
      await openTestTenant({ expiredCheckpoint })
      logOut('auth0|0')
      clock.pass(5 * SECOND)
      await runPoll()
      const { asOf } = await store.readProgress()

      // No poll runs for longer than the retention. After that, the clock of the database is three days behind.
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
