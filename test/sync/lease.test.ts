import { afterEach, beforeEach, expect, test } from 'vitest'
import type { LastLogoutStore } from '../../src/ports.js'
import { createLease, type Lease } from '../../src/sync/lease.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { HOUR } from '../_support/poll.js'
import { openTestStore } from '../_support/store.js'

// The lease is the exclusive right to read the log of Auth0. The runs of one process share a `Lease`, so another
// `createLease` stands for another process.

let database: TestDatabase
let store: LastLogoutStore & { close(): Promise<void> }
beforeEach(async () => {
  database = await createTestDatabase()
  store = await openTestStore(database)
})
afterEach(async () => {
  await store.close()
  await database.drop()
})

const { signal } = new AbortController()

/** Creates a function that runs until the test calls `end`. */
function createRun() {
  let end = () => {}
  const whenEnded = new Promise<void>((resolve) => {
    end = resolve
  })
  return { run: () => whenEnded, end: () => end() }
}

/** Tries to run a function that ends at once. Returns whether the lease could be acquired. */
const tryRun = (lease: Lease) => lease.run(signal, async () => {})

const readOwner = async () => {
  const [tenant] = await database.query<{ lease_owner: string | null }>(
    'SELECT lease_owner FROM tenant',
  )
  return tenant?.lease_owner
}

test('lease.run calls its function only if no other run holds the lease, in this process or in another process', async () => {
  const lease = createLease(store)
  const first = createRun()
  const firstResult = lease.run(signal, first.run)
  await expect.poll(readOwner).toBeTruthy()
  expect(await tryRun(lease)).toBe(false)
  expect(await tryRun(createLease(store))).toBe(false)
  first.end()
  await expect(firstResult).resolves.toBe(true)
  expect(await tryRun(createLease(store))).toBe(true)
})

test('an aborted run that hangs does not delay the next run, and does not release the lease of the next run', async () => {
  const lease = createLease(store)
  const stop = new AbortController()
  const hanging = createRun()
  const hangingResult = lease.run(stop.signal, hanging.run)
  await expect.poll(readOwner).toBeTruthy()
  stop.abort()
  const next = createRun()
  const nextResult = lease.run(signal, next.run)
  hanging.end()
  await hangingResult
  expect(await readOwner()).toBeTruthy()
  expect(await tryRun(lease)).toBe(false)
  next.end()
  await nextResult
  expect(await readOwner()).toBeNull()
})

test('a process that could not release the lease can acquire it again at once, but another process cannot', async () => {
  const lease = createLease({
    ...store,
    releaseLease: async () => {
      throw new Error('the database is unavailable')
    },
  })
  expect(await tryRun(lease)).toBe(true)
  expect(await tryRun(createLease(store))).toBe(false)
  expect(await tryRun(lease)).toBe(true)
})

test('a run is aborted when another process acquires the lease, for example after the machine was suspended', async () => {
  // The run renews its lease after a third of this time, and then finds that it has lost the lease.
  const ttlMs = 300
  const lease = createLease(store, ttlMs)
  const result = lease.run(
    signal,
    (leaseSignal) =>
      new Promise((resolve) => leaseSignal.addEventListener('abort', () => resolve())),
  )
  await expect.poll(readOwner).toBeTruthy()
  await database.query(`UPDATE tenant SET lease_until = now() - interval '1 s'`)
  const anotherTtlMs = 60_000
  await expect(store.acquireLease('another', anotherTtlMs)).resolves.not.toBeNull()
  await expect(result).resolves.toBe(true)
  expect(await readOwner()).toBe('another')
})

/** A backoff that is longer than any test. */
const LONG_BACKOFF = { firstMs: HOUR, maxMs: HOUR }

test('a wait for the lease ends when a run of the same process ends, even before the backoff has elapsed', async () => {
  const lease = createLease(store)
  const first = createRun()
  const firstResult = lease.run(signal, first.run)
  await expect.poll(readOwner).toBeTruthy()
  let hasWaited = false
  const waiting = lease.wait(0, LONG_BACKOFF, signal).then(() => {
    hasWaited = true
  })
  expect(await tryRun(lease)).toBe(false)
  expect(hasWaited).toBe(false)
  first.end()
  await waiting
  expect(await tryRun(lease)).toBe(true)
  await firstResult
})

test('a wait for the lease takes as long as the backoff if no run of the same process holds the lease', async () => {
  const startedAt = performance.now()
  // The second attempt (number 1) waits for twice the first backoff.
  await createLease(store).wait(1, { firstMs: 20, maxMs: 1_000 }, signal)
  const elapsedMs = performance.now() - startedAt
  // A timer can end up to a millisecond early.
  expect(elapsedMs).toBeGreaterThanOrEqual(2 * 20 - 1)
})

test('a wait for the lease rejects with ABORTED when its signal aborts', async () => {
  const stop = new AbortController()
  const waiting = createLease(store).wait(0, LONG_BACKOFF, stop.signal)
  stop.abort()
  await expect(waiting).rejects.toMatchObject({ code: 'ABORTED' })
})
