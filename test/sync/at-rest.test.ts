import { afterEach, beforeEach, expect, test } from 'vitest'
import type { LastLogoutStore } from '../../src/ports.js'
import { buildEntry } from '../../src/simulator/entries.js'
import { poll } from '../../src/sync/poll.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { LOGOUT_TYPES, POLL_OPTIONS } from '../_support/poll.js'
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

/** Polls once. Returns the number of requests to Auth0, and the first six characters of each SQL statement. */
async function runPoll() {
  auth0.simulator.requests.clear()
  const statementsBefore = wire.statements().length
  const deps = { source: auth0.source, store, types: LOGOUT_TYPES }
  await poll(deps, POLL_OPTIONS, new AbortController().signal)
  const statements = wire.statements().slice(statementsBefore)
  return {
    requests: auth0.simulator.requests.count(),
    statements: statements.map((sql) => sql.slice(0, 6)),
  }
}

test('a poll without new entries sends one request and three statements, and advances as_of', async () => {
  // A poll can end at a page with a recent entry. This poll ends at an empty page, as all later polls do.
  await runPoll()
  const { asOf } = await store.readProgress()
  await expect
    .poll(async () => {
      const statements = ['UPDATE', 'UPDATE', 'UPDATE']
      expect(await runPoll()).toEqual({ requests: 1, statements })
      return (await store.readProgress()).asOf
    })
    .toBeGreaterThan(asOf ?? Number.NaN)
})

test('a poll with a recent logout sends one request, and stores the logout in one statement', async () => {
  logOut('auth0|2')
  const { requests, statements } = await runPoll()
  expect(requests).toBe(1)
  // Acquires the lease, stores the page, reads the checkpoint twice to verify it, and releases the lease.
  expect(statements).toEqual(['UPDATE', 'WITH m', 'SELECT', 'SELECT', 'UPDATE'])
  await expect(store.readKnownLogouts('auth0|2', null)).resolves.toMatchObject({
    user: { at: expect.any(Number) },
  })
})
