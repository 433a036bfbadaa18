import { afterEach, beforeEach, expect, test } from 'vitest'
import { fold } from '../../src/rules/fold.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openTestStore } from '../_support/store.js'

const CHECKPOINT = '90020261123100000000000000000000000000000000000000000000'
const NOON = Date.parse('2026-11-23T12:00:00Z')

let database: TestDatabase
let store: Awaited<ReturnType<typeof openTestStore>>
beforeEach(async () => {
  database = await createTestDatabase()
  store = await openTestStore(database)
  await store.setFirstCheckpoint(CHECKPOINT, null)
})
afterEach(async () => {
  await store.close()
  await database.drop()
})

async function logOut(n: number): Promise<void> {
  const event = { logId: `L${n}`, type: 'slo', at: NOON, userId: `auth0|${n}`, sessionId: null }
  await store.storeBatch({ ...fold([event]), unattributable: [] })
}

test('as_of of a page of changes is never ahead of the changes in the page', async () => {
  // Logout n is stored before as_of becomes NOON + n, so a page with this as_of must contain at least n changes.
  const pages: [asOfAfterNoonMs: number, changes: number][] = []
  let isWriting = true
  const writing = (async () => {
    for (let n = 1; n <= 400 && pages.length < 100; n++) {
      await logOut(n)
      await store.storeCaughtUp(CHECKPOINT, NOON + n)
    }
    isWriting = false
  })()
  const reader = await openTestStore(database)
  while (isWriting) {
    const page = await reader.readChanges({ after: null, since: null, limit: 1_000 })
    if (page?.asOf) pages.push([page.asOf - NOON, page.changes.length])
  }
  await writing
  await reader.close()
  expect(pages.length).toBeGreaterThan(20)
  expect(pages.filter(([asOfAfterNoonMs, changes]) => changes < asOfAfterNoonMs)).toEqual([])
})

test('no feed position is assigned twice, even after a restore that lost changes', async () => {
  await logOut(1)
  const [tenantBefore] = await database.query<{ seq: string }>('SELECT seq FROM tenant')
  await logOut(2)
  await logOut(3)
  const pageBefore = await store.readChanges({ after: null, since: null, limit: 10 })

  await database.query("DELETE FROM last_logout WHERE user_id IN ('auth0|2', 'auth0|3')")
  await database.query('UPDATE tenant SET seq = $1', [tenantBefore?.seq])
  expect(
    await store.readChanges({ after: pageBefore?.cursor ?? '', since: null, limit: 10 }),
    'the cursor is after the end of the feed',
  ).toBeNull()
  for (const n of [4, 5, 6]) await logOut(n)

  const pageAfter = await store.readChanges({
    after: pageBefore?.cursor ?? '',
    since: null,
    limit: 10,
  })
  expect(pageAfter?.changes).toMatchObject([4, 5, 6].map((n) => ({ userId: `auth0|${n}` })))
})
