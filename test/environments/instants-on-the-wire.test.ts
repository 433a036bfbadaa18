import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { withClient } from '../../src/pg/client.js'
import type { LastLogoutStore } from '../../src/ports.js'
import type { Batch } from '../../src/rules/batch.js'
import { fold } from '../../src/rules/fold.js'
import { applyMigrations, assertMigrated } from '../../src/store/migrations.js'
import { openClient } from '../_support/client.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openPostgresWire, type PostgresWire } from '../_support/postgres-wire.js'
import { METRICS_KEY } from '../_support/served-api.js'
import { CHECKPOINT, openTestStore } from '../_support/store.js'
import { openSystem } from './system.js'

/*
 * The text of a date or time depends on the time zone and the DateStyle of the session. So the statements and results
 * of last-logout contain instants only as numbers: milliseconds or microseconds since the epoch.
 */

const NOW = Date.now()
const MINUTE_MS = 60_000

let database: TestDatabase
/** A proxy between the driver and PostgreSQL. It records each date or time that it finds in their messages. */
let wire: PostgresWire
beforeEach(async () => {
  database = await createTestDatabase()
  wire = await openPostgresWire(database.url)
})
afterEach(async () => {
  await wire.close()
  await database.drop()
})

/**
 * Builds a batch with two logouts, and an entry without a user or session (unattributable). A batch with a higher
 * `number` has later logouts, so storing it changes the rows.
 */
const buildBatch = (number: number): Batch => ({
  ...fold([
    { logId: `L${number}`, type: 'slo', at: NOW + number, userId: 'auth0|1', sessionId: 'S1' },
    { logId: `M${number}`, type: 'slo', at: NOW + number, userId: 'auth0|2', sessionId: null },
  ]),
  unattributable: [{ logId: `U${number}`, reason: 'no_subject', entry: '{}' }],
})

/** The argument with which `storeGap` also raises the floor. */
const RAISES_FLOOR = true

/** One call of each method of the store. Their order gives each call rows to read or to change. */
const CALLS: Record<keyof LastLogoutStore, (store: LastLogoutStore) => Promise<unknown>> = {
  // Claims the database for the tenant.
  claim: (store) => store.claim(),
  acquireLease: (store) => store.acquireLease('worker', MINUTE_MS),
  releaseLease: (store) => store.releaseLease('worker'),
  setFirstCheckpoint: (store) =>
    store.setFirstCheckpoint(CHECKPOINT, { from: NOW - MINUTE_MS, to: NOW }),
  storeSweep: (store) => store.storeSweep(buildBatch(1), { from: NOW - MINUTE_MS / 2, to: NOW }),
  moveCheckpoint: (store) =>
    store.moveCheckpoint(CHECKPOINT, 'P1', { from: NOW - MINUTE_MS, to: NOW }),
  storePage: (store) =>
    store.storePage({ from: 'P1', next: 'P2', storedAt: NOW, batch: buildBatch(2) }),
  storeBatch: (store) => store.storeBatch(buildBatch(3)),
  storeReconciled: (store) => store.storeReconciled(buildBatch(4)),
  finishReconcile: (store) => store.finishReconcile(NOW),
  storeCaughtUp: (store) => store.storeCaughtUp('P2', NOW),
  storeReported: (store) =>
    store.storeReported({ userId: 'auth0|3', sessionId: 'S3', at: null, type: 'reported_logout' }),
  storeGap: (store) =>
    store.storeGap({ from: NOW - MINUTE_MS, to: NOW - 1, reason: 'retention' }, RAISES_FLOOR),
  raiseFloor: (store) => store.raiseFloor(NOW),
  readProgress: (store) => store.readProgress(),
  readKnownLogouts: (store) => store.readKnownLogouts('auth0|1', 'S1'),
  readChanges: (store) => store.readChanges({ after: null, since: NOW - MINUTE_MS, limit: 10 }),
  readGaps: (store) => store.readGaps(),
  count: (store) => store.count(),
  forget: (store) => store.forget('auth0|1'),
  prune: (store) => store.prune(MINUTE_MS),
}

test('openPostgresWire reports dates and times of each statement by their types and by their texts', async () => {
  // 1184 is the type `timestamptz`. With this array, the driver declares the type of the parameter.
  const declaredTypes = Object.assign([1184], pg.types)
  await withClient(wire.url, async (client) => {
    await client.query('SELECT now() AS a, $1::timestamptz::text AS b', [new Date(NOW)])
    // The proxy must not report these values: a number, and a log id, which begins with digits like a date.
    await client.query('SELECT $1::bigint AS c, $2::text AS d', [NOW, '90020261128'])
    await client.query({ text: 'SELECT $1 < now() AS e', values: ['now'], types: declaredTypes })
  })
  expect(wire.dateTimes()).toEqual([
    'parameter $1 is the text of a date: SELECT now() AS a, $1::timestamptz::text AS b',
    'column a is a timestamptz: SELECT now() AS a, $1::timestamptz::text AS b',
    'column a is the text of a date: SELECT now() AS a, $1::timestamptz::text AS b',
    'column b is the text of a date: SELECT now() AS a, $1::timestamptz::text AS b',
    'parameter $1 is a timestamptz: SELECT $1 < now() AS e',
  ])
})

test('the driver transfers no instant as a date or time while the migrations are applied', async () => {
  const emptyDatabase = await createTestDatabase('template0')
  const emptyWire = await openPostgresWire(emptyDatabase.url)
  await applyMigrations(emptyWire.url)
  await assertMigrated(emptyWire.url)
  await emptyWire.close()
  await emptyDatabase.drop()
  expect(emptyWire.dateTimes()).toEqual([])
  // The proxy has parsed results, so the empty list above is not caused by a proxy that sees nothing.
  expect(emptyWire.rowDescriptionCount()).toBeGreaterThanOrEqual(2)
})

test('the driver transfers no instant as a date or time while each method of the store runs', async () => {
  const store = await openTestStore(wire)
  try {
    for (const call of Object.values(CALLS)) await call(store)
  } finally {
    await store.close()
  }
  expect(wire.dateTimes()).toEqual([])
  // The proxy has parsed results of the store: on average at least one for each method.
  expect(wire.rowDescriptionCount()).toBeGreaterThanOrEqual(Object.keys(CALLS).length)
})

test('the driver transfers no instant as a date or time while the service, a client, a scrape and commands use the database', async () => {
  const system = await openSystem({ DATABASE_URL: wire.url, DATABASE_DIRECT_URL: database.url })
  const client = openClient(system.url)
  try {
    expect(system.failure).toBeNull()
    await client.ready()
    const claims = { sub: 'auth0|1', iat: NOW / 1000 }
    await client.check(claims)
    const at = new Date(NOW - MINUTE_MS).toISOString()
    const requests: [path: string, body?: object][] = [
      ['/v1/check', { claims }],
      ['/v1/logouts', { user_id: 'auth0|1' }],
      ['/v1/users/auth0%7C1/logout', { at }],
      ['/v1/users/auth0%7C1/last-logout?session_id=S1'],
      ['/v1/last-logout?user_id=auth0%7C1&session_id=S1'],
      [`/v1/changes?since=${at}`],
      ['/health/fresh'],
    ]
    for (const [path, body] of requests) {
      expect({ path, ...(await system.request(path, body)) }).toMatchObject({ path, status: 200 })
    }
    const headers = { authorization: `Bearer ${METRICS_KEY}` }
    expect((await fetch(`${system.url}/metrics`, { headers })).status).toBe(200)
    await system.run('status')
    await system.run('logout', 'auth0|1', '--at', at)
    await system.run('floor', 'raise', at)
    expect(await system.run('doctor')).toMatch(/^ok +freshness/m)
    await system.service.startWorker()
    const { lastPollAt } = await system.service.store.readProgress()
    const hasPolledAgain = async () =>
      ((await system.service.store.readProgress()).lastPollAt ?? 0) > (lastPollAt ?? 0)
    await expect.poll(hasPolledAgain, { timeout: 20_000 }).toBe(true)
  } finally {
    await client.close()
    await system.close()
  }
  expect(wire.dateTimes()).toEqual([])
  // The proxy has parsed the results of many queries.
  expect(wire.rowDescriptionCount()).toBeGreaterThanOrEqual(50)
})
