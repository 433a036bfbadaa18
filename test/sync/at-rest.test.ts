import { afterEach, beforeEach, expect, test } from 'vitest'
import type { LastLogoutStore } from '../../src/ports.js'
import { buildEntry } from '../../src/simulator/entries.js'
import { poll } from '../../src/sync/poll.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { LOGOUT_TYPES, POLL_OPTIONS } from '../_support/poll.js'
import { openPostgresWire, type PostgresWire } from '../_support/postgres-wire.js'
import { openTestStore } from '../_support/store.js'
import { openTenant, type TestTenant } from '../_support/tenant.js'

// The requests and SQL statements of polls that find at most one new entry. A poll reads the log of Auth0 to its end.

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
  const statementsBefore = wire.statements().length
  const deps = { source: auth0.source, store, types: LOGOUT_TYPES }
  await poll(deps, POLL_OPTIONS, new AbortController().signal)
  const statements = wire.statements().slice(statementsBefore)
  return {
    requests: auth0.simulator.requests.count(),
    statements: statements.map((sql) => sql.split(' ')[0]),
  }
}

test('a poll without new entries sends one request and three statements, and advances as_of', async () => {
  // The first poll can have ended at the page with the recent entry. This poll and all later ones end at an empty page.
  await runPoll()
  const { asOf } = await store.readProgress()
  // `as_of` comes from the Date header of Auth0's response, in whole seconds. So it advances after up to a second.
  await expect
    .poll(async () => {
      // Acquires the lease, stores that the log was read to its end, and releases the lease.
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
  expect(statements).toEqual(['UPDATE', 'WITH', 'SELECT', 'SELECT', 'UPDATE'])
  await expect(store.readKnownLogouts('auth0|2', null)).resolves.toMatchObject({
    user: { at: expect.any(Number) },
  })
})
