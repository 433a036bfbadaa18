import { afterEach, beforeEach, expect, test } from 'vitest'
import { readColumns } from '../../src/client/change-columns.js'
import type { Change } from '../../src/rules/change-feed.js'
import { fold } from '../../src/rules/fold.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { CHECKPOINT, openTestStore } from '../_support/store.js'

// The change feed: pages of changed rows, in the order of commits. The `as_of` of a page is the instant up to which the
// log is known to have been read.

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

/** Stores a logout of user `n`. */
async function storeLogout(n: number): Promise<void> {
  const event = { logId: `L${n}`, type: 'slo', at: NOON, userId: `auth0|${n}`, sessionId: null }
  await store.storeBatch({ ...fold([event]), unattributable: [] })
}

test('a page of the change feed contains every change that was stored before the as_of of the page', async () => {
  // Logout n is stored before as_of becomes NOON + n, so a page with this as_of must contain at least n changes.
  const pages: { asOfAfterNoonMs: number; changeCount: number }[] = []
  let isWriting = true
  const writing = (async () => {
    for (let n = 1; n <= 400 && pages.length < 100; n++) {
      await storeLogout(n)
      await store.storeCaughtUp(CHECKPOINT, NOON + n)
    }
    isWriting = false
  })()
  const reader = await openTestStore(database)
  while (isWriting) {
    const page = await reader.readChanges({ after: null, since: null, limit: 1_000 })
    if (page?.asOf) {
      pages.push({ asOfAfterNoonMs: page.asOf - NOON, changeCount: page.changes.length })
    }
  }
  await writing
  await reader.close()
  expect(pages.length).toBeGreaterThan(20)
  const isIncomplete = (page: (typeof pages)[number]) => page.changeCount < page.asOfAfterNoonMs
  expect(pages.filter(isIncomplete)).toEqual([])
})

test('after a restore that loses changes, new changes come after every cursor from before the restore', async () => {
  const readFeed = (after: string | null) => store.readChanges({ after, since: null, limit: 10 })
  await storeLogout(1)
  const [tenantAfterFirst] = await database.query<{ seq: string }>('SELECT seq FROM tenant')
  await storeLogout(2)
  await storeLogout(3)
  const pageBeforeRestore = await readFeed(null)
  const cursor = pageBeforeRestore?.cursor ?? ''

  // Restores the state after the first logout. `seq` of the tenant row is the last assigned position of the feed.
  await database.query("DELETE FROM last_logout WHERE user_id IN ('auth0|2', 'auth0|3')")
  await database.query('UPDATE tenant SET seq = $1', [tenantAfterFirst?.seq])
  expect(await readFeed(cursor), 'the cursor is after the end of the feed').toBeNull()

  for (const n of [4, 5, 6]) await storeLogout(n)
  const pageAfterRestore = await readFeed(cursor)
  expect(pageAfterRestore?.changes).toMatchObject([4, 5, 6].map((n) => ({ userId: `auth0|${n}` })))
})

/** Reads all pages. Returns the changes in a comparable form, without what a client does not need. */
async function readAll(limit: number, inColumns: boolean) {
  const changes: Partial<Change>[] = []
  let pageCount = 0
  for (let after: string | null = null, more = true; more; pageCount++) {
    const page = await store.readChanges({ after, since: null, limit, inColumns })
    if (page === null) throw new Error(`the cursor ${after} is unknown`)
    const columns = page.columns === undefined ? [] : readColumns(JSON.parse(page.columns))
    changes.push(...page.changes, ...columns)
    ;({ cursor: after, more } = page)
    expect(page.asOf, 'only the last page has an as_of').toBe(more ? null : NOON)
  }
  const sortedChanges = changes
    .map((change) => JSON.stringify({ ...change, type: undefined }, Object.keys(change).sort()))
    .sort()
  return { sortedChanges, pageCount }
}

test('pages of any size in columns contain the same changes as pages without columns', async () => {
  const ids = ['auth0|1', 'auth0|"quote\\', 'auth0|\n\u2028', 'sms|Łódź😀', 'auth0|gone']
  for (const [n, userId] of ids.entries()) {
    const event = { logId: `L${n}`, type: 'slo', at: NOON + n, userId, sessionId: `S${n}` }
    await store.storeBatch({ ...fold([event]), unattributable: [] })
  }
  for (const ids of [
    { userId: 'auth0|all', sessionId: null },
    { userId: null, sessionId: 'S' },
  ]) {
    const event = { logId: 'L', type: 'slo', at: NOON + 0.999, ...ids }
    await store.storeBatch({ ...fold([event]), unattributable: [] })
  }
  await store.raiseFloor(NOON)
  await store.forget('auth0|gone')
  await store.storeCaughtUp(CHECKPOINT, NOON)
  const expected = await readAll(100, false)
  expect(expected.sortedChanges.length).toBeGreaterThan(10)
  for (const limit of [1, 2, 3, 7, 100]) {
    const { sortedChanges, pageCount } = await readAll(limit, true)
    expect(sortedChanges, `pages of ${limit} changes`).toEqual(expected.sortedChanges)
    if (limit === 100) expect(pageCount).toBe(1)
  }
})

test('a page in columns without changes of users and sessions has no columns', async () => {
  await store.raiseFloor(NOON)
  const page = await store.readChanges({ after: null, since: null, limit: 10, inColumns: true })
  expect(page).toMatchObject({ changes: [{ kind: 'floor', at: NOON }] })
  expect(page).not.toHaveProperty('columns')
})
