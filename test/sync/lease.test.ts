import { afterEach, beforeEach, expect, test } from 'vitest'
import type { LastLogoutStore } from '../../src/ports.js'
import { createLease } from '../../src/sync/lease.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openTestStore } from '../_support/store.js'

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

/** Creates a run that ends when the test calls `end`. */
function createRun() {
  let end = () => {}
  const whenEnded = new Promise<void>((resolve) => {
    end = resolve
  })
  return { run: () => whenEnded, end: () => end() }
}

const readOwner = async () =>
  (await database.query<{ lease_owner: string | null }>('SELECT lease_owner FROM tenant'))[0]
    ?.lease_owner

test('lease.run calls its function only if no other run holds the lease, in this process or in another process', async () => {
  const lease = createLease(store)
  const first = createRun()
  const running = lease.run(signal, first.run)
  await expect.poll(readOwner).toBeTruthy()
  await expect(lease.run(signal, async () => {})).resolves.toBe(false)
  await expect(createLease(store).run(signal, async () => {})).resolves.toBe(false)
  first.end()
  await expect(running).resolves.toBe(true)
  await expect(createLease(store).run(signal, async () => {})).resolves.toBe(true)
})

test('an aborted run that hangs does not delay the next run, and does not release the lease of the next run', async () => {
  const lease = createLease(store)
  const stop = new AbortController()
  const hanging = createRun()
  const hangingRun = lease.run(stop.signal, hanging.run)
  await expect.poll(readOwner).toBeTruthy()
  stop.abort()
  const nextRun = createRun()
  const running = lease.run(signal, nextRun.run)
  hanging.end()
  await hangingRun
  expect(await readOwner()).toBeTruthy()
  await expect(lease.run(signal, async () => {})).resolves.toBe(false)
  nextRun.end()
  await running
  expect(await readOwner()).toBeNull()
})

test('a process can run again at once after it could not release the lease', async () => {
  const lease = createLease({
    ...store,
    releaseLease: async () => {
      throw new Error('the database is unavailable')
    },
  })
  await expect(lease.run(signal, async () => {})).resolves.toBe(true)
  await expect(createLease(store).run(signal, async () => {})).resolves.toBe(false)
  await expect(lease.run(signal, async () => {})).resolves.toBe(true)
})

test('a run is aborted when another process acquires the lease, for example after the machine was suspended', async () => {
  const lease = createLease(store, 300)
  const abortedRun = lease.run(
    signal,
    (leaseSignal) =>
      new Promise((resolve) => leaseSignal.addEventListener('abort', () => resolve())),
  )
  await expect.poll(readOwner).toBeTruthy()
  await database.query(`UPDATE tenant SET lease_until = now() - interval '1 s'`)
  await expect(store.acquireLease('another', 60_000)).resolves.not.toBeNull()
  await expect(abortedRun).resolves.toBe(true)
  expect(await readOwner()).toBe('another')
})

test('a wait for the lease ends when a run of the same process ends, even before the backoff has elapsed', async () => {
  const lease = createLease(store)
  const first = createRun()
  const running = lease.run(signal, first.run)
  await expect.poll(readOwner).toBeTruthy()
  let hasWaited = false
  const waiting = lease.wait(0, { firstMs: 3_600_000, maxMs: 3_600_000 }, signal).then(() => {
    hasWaited = true
  })
  await expect(lease.run(signal, async () => {})).resolves.toBe(false)
  expect(hasWaited).toBe(false)
  first.end()
  await waiting
  await expect(lease.run(signal, async () => {})).resolves.toBe(true)
  await running
})

test('a wait for the lease of another process takes as long as the backoff', async () => {
  const startedAt = performance.now()
  await createLease(store).wait(1, { firstMs: 20, maxMs: 1_000 }, signal)
  expect(performance.now() - startedAt).toBeGreaterThanOrEqual(39)
})

test('a wait for the lease rejects with ABORTED when its signal aborts', async () => {
  const stop = new AbortController()
  const waiting = createLease(store).wait(0, { firstMs: 60_000, maxMs: 60_000 }, stop.signal)
  stop.abort()
  await expect(waiting).rejects.toMatchObject({ code: 'ABORTED' })
})
