import { afterEach, beforeEach, expect, test } from 'vitest'
import { fold } from '../../src/rules/fold.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openStore } from '../_support/store.js'

const BEGIN = '90020261123100000000000000000000000000000000000000000000'
const NOON = Date.parse('2026-11-23T12:00:00Z')

let database: TestDatabase
let store: Awaited<ReturnType<typeof openStore>>
beforeEach(async () => {
  database = await createTestDatabase()
  store = await openStore(database)
  await store.begin(BEGIN, null)
})
afterEach(async () => {
  await store.close()
  await database.drop()
})

async function logOut(n: number): Promise<void> {
  const event = { logId: `L${n}`, type: 'slo', at: NOON, userId: `auth0|${n}`, sessionId: null }
  await store.storeBatch({ ...fold([event]), unattributable: [] })
}

test('a page never claims a freshness beyond its changes, however fast both move on', async () => {
  const claims: [claimed: number, held: number][] = []
  let isWriting = true
  const writing = (async () => {
    for (let n = 1; n <= 400 && claims.length < 100; n++) {
      await logOut(n)
      await store.storeCaughtUp(BEGIN, NOON + n)
    }
    isWriting = false
  })()
  const reader = await openStore(database)
  while (isWriting) {
    const page = await reader.readChanges({ after: null, since: null, limit: 1_000 })
    if (page?.asOf) claims.push([page.asOf - NOON, page.changes.length])
  }
  await writing
  await reader.close()
  expect(claims.length).toBeGreaterThan(20)
  expect(claims.filter(([claimed, held]) => held < claimed)).toEqual([])
})

test('no position is given out twice, also after a restore that lost some', async () => {
  await logOut(1)
  const backup = await database.query<{ seq: string }>('SELECT seq FROM tenant')
  await logOut(2)
  await logOut(3)
  const seen = await store.readChanges({ after: null, since: null, limit: 10 })

  await database.query("DELETE FROM last_logout WHERE user_id IN ('auth0|2', 'auth0|3')")
  await database.query('UPDATE tenant SET seq = $1', [backup[0]?.seq])
  expect(
    await store.readChanges({ after: seen?.cursor ?? '', since: null, limit: 10 }),
    'the cursor is ahead',
  ).toBeNull()
  for (const n of [4, 5, 6]) await logOut(n)

  const next = await store.readChanges({ after: seen?.cursor ?? '', since: null, limit: 10 })
  expect(next?.changes).toMatchObject([4, 5, 6].map((n) => ({ userId: `auth0|${n}` })))
})
