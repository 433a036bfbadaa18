import { afterEach, beforeEach, expect, test } from 'vitest'
import { LastLogoutError } from '../../src/errors.js'
import type { LastLogoutStore } from '../../src/ports.js'
import { guardStore } from '../../src/store/guard.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openTestStore } from '../_support/store.js'
import { createTestLog } from '../jobs/fixture.js'

let database: TestDatabase
let unguardedStore: LastLogoutStore & { close(): Promise<void> }
beforeEach(async () => {
  database = await createTestDatabase()
  unguardedStore = await openTestStore(database)
})
afterEach(async () => {
  await unguardedStore.close()
  await database.drop()
})

// A guarded store is unusable until `open` has checked the database. Afterwards it logs outages of the database.

test('a guarded store rejects every call until open has succeeded', async () => {
  const { log, text } = createTestLog()
  let isUsable = false
  const assertUsable = async () => {
    if (!isUsable) throw new LastLogoutError('DATABASE_NOT_MIGRATED', 'not migrated')
  }
  const { store, open } = guardStore(unguardedStore, assertUsable, log)
  await expect(store.readProgress()).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
  await expect(open()).rejects.toMatchObject({ code: 'DATABASE_NOT_MIGRATED' })
  await expect(store.readProgress()).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
  isUsable = true
  await open()
  await expect(store.readProgress()).resolves.toMatchObject({ checkpoint: null })
  expect(text()).toBe('')
})

test('a guarded store logs an outage once, even if some queries succeed during the outage', async () => {
  const { log, lines } = createTestLog()
  let isFailing = false
  const readProgress: LastLogoutStore['readProgress'] = async () => {
    if (isFailing) throw new LastLogoutError('DATABASE_UNAVAILABLE', 'all connections are in use')
    return unguardedStore.readProgress()
  }
  const { store, open } = guardStore({ ...unguardedStore, readProgress }, async () => {}, log)
  await open()
  for (let call = 0; call < 100; call++) {
    isFailing = call % 2 === 0
    await store.readProgress().catch(() => {})
  }
  expect(lines('error')).toHaveLength(1)
  expect(lines('info')).toEqual([])
  isFailing = false
  // The guard logs the recovery when a query succeeds and no query has failed for two seconds.
  const readAndCountRecoveries = async () => {
    await store.readProgress()
    return lines('info').length
  }
  await expect.poll(readAndCountRecoveries, { timeout: 5_000 }).toBe(1)
  isFailing = true
  await expect(store.readProgress()).rejects.toThrow()
  expect(lines('error'), 'the second outage is logged, too').toHaveLength(2)
})
