import { afterEach, beforeEach, expect, test } from 'vitest'
import type { LastLogoutStore } from '../../src/ports.js'
import { buildEntry } from '../../src/simulator/entries.js'
import { poll } from '../../src/sync/poll.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { POLL_OPTIONS, TYPES } from '../_support/poll.js'
import { openPostgresWire, type PostgresWire } from '../_support/postgres-wire.js'
import { openTestStore } from '../_support/store.js'
import { openTenant, type TestTenant } from '../_support/tenant.js'

let database: TestDatabase
let wire: PostgresWire
let store: LastLogoutStore & { close(): Promise<void> }
let auth0: TestTenant
beforeEach(async () => {
  database = await createTestDatabase()
  wire = await openPostgresWire(database.url)
  store = await openTestStore(wire)
  auth0 = await openTenant()
  logOut('auth0|1')
  await runPoll()
})
afterEach(async () => {
  await Promise.all([auth0.close(), store.close()])
  await wire.close()
  await database.drop()
})

const logOut = (userId: string) => auth0.tenant.write(buildEntry('slo', { userId, sessionId: 'S' }))

/** Polls once. Returns the number of requests to Auth0, and the first word of each SQL statement. */
async function runPoll() {
  auth0.simulator.requests.clear()
  const before = wire.statements().length
  const deps = { source: auth0.source, store, types: TYPES }
  await poll(deps, POLL_OPTIONS, new AbortController().signal)
  const statements = wire.statements().slice(before)
  return {
    requests: auth0.simulator.requests.count(),
    verbs: statements.map((sql) => sql.slice(0, 6)),
  }
}

test('a poll that finds nothing new sends one request and three statements, and as_of advances', async () => {
  // This poll ends at an empty page, because the entry can be too old to end at it.
  await runPoll()
  const { asOf } = await store.readProgress()
  await expect
    .poll(async () => {
      expect(await runPoll()).toEqual({ requests: 1, verbs: ['UPDATE', 'UPDATE', 'UPDATE'] })
      return (await store.readProgress()).asOf
    })
    .toBeGreaterThan(asOf ?? Number.NaN)
})

test('a poll that finds a recent logout sends one request, and stores it in one statement', async () => {
  logOut('auth0|2')
  const { requests, verbs } = await runPoll()
  expect(requests).toBe(1)
  // The lease, the page, two reads that verify that the database keeps the checkpoint, and the end of the lease.
  expect(verbs).toEqual(['UPDATE', 'WITH m', 'SELECT', 'SELECT', 'UPDATE'])
  await expect(store.readKnownLogouts('auth0|2', null)).resolves.toMatchObject({
    user: { at: expect.any(Number) },
  })
})
