import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { withClient } from '../../src/pg/client.js'
import { databaseClock } from '../../src/store/epoch.js'
import { type LogoutQuery, snapshotSql } from '../../src/store/read-snapshots.js'
import { tablesIn } from '../../src/store/tables.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openTestStore } from '../_support/store.js'

// Concurrent calls of `readKnownLogouts` share one SQL statement, which reads the rows of all their users and sessions.

/** Number of users. User `n` and session `n` have a logout `n` seconds after the epoch. */
const USERS = 50_000

let testDatabase: TestDatabase
let store: Awaited<ReturnType<typeof openTestStore>>
beforeAll(async () => {
  testDatabase = await createTestDatabase()
  store = await openTestStore(testDatabase)
  // After a bulk load, PostgreSQL plans queries without statistics. Autovacuum would collect them during the tests.
  for (const table of ['last_logout', 'session_logout']) {
    await testDatabase.query(`ALTER TABLE ${table} SET (autovacuum_enabled = false)`)
  }
  await testDatabase.query(`
    INSERT INTO last_logout (user_id, at, log_id, type, seq)
    SELECT 'auth0|' || n, to_timestamp(n), 'L' || n, 'slo', n FROM generate_series(1, ${USERS}) n`)
  await testDatabase.query(`
    INSERT INTO session_logout (session_id, user_id, at, ended, log_id, type, seq)
    SELECT 'S' || n, 'auth0|' || n, to_timestamp(n), n % 2 = 0, 'L' || n, 'slo', n
    FROM generate_series(1, ${USERS}) n`)
})
afterAll(async () => {
  await store.close()
  await testDatabase.drop()
})

/** A node of a query plan of PostgreSQL. */
interface PlanNode {
  'Node Type': string
  'Relation Name'?: string
  'Index Name'?: string
  Plans?: PlanNode[]
}

/** Returns a node and all nodes below it. */
function listNodes(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(listNodes)]
}

/** Returns an SQL literal of a text array. The text of an array is JSON with braces in place of the brackets. */
function arrayLiteral(values: unknown): string {
  return pg.escapeLiteral(JSON.stringify(values).replace(/^\[(.*)\]$/, '{$1}'))
}

/** Returns all nodes of the plan of the statement that reads these logouts. */
async function explainReads(
  queries: LogoutQuery[],
  planMode: 'force_custom_plan' | 'force_generic_plan',
): Promise<PlanNode[]> {
  const { text, values } = snapshotSql(tablesIn('public'), databaseClock, queries)
  return withClient(testDatabase.url, async (client) => {
    await client.query(`SET plan_cache_mode = ${planMode}; PREPARE reads AS ${text}`)
    const { rows } = await client.query<{ 'QUERY PLAN': { Plan: PlanNode }[] }>(
      `EXPLAIN (FORMAT JSON) EXECUTE reads(${values.map(arrayLiteral)})`,
    )
    return rows.flatMap((row) => row['QUERY PLAN']).flatMap(({ Plan }) => listNodes(Plan))
  })
}

// A generic plan is made without the values of the parameters.
test.each([
  [1, 'force_custom_plan'],
  [256, 'force_custom_plan'],
  [1, 'force_generic_plan'],
] as const)(
  'a statement with %i reads uses the primary keys of large tables without statistics (%s)',
  async (count, planMode) => {
    const queries = Array.from({ length: count }, (_, n) => ({
      userId: `auth0|${n}`,
      sessionId: n % 2 === 0 ? `S${n}` : null,
    }))
    const nodes = await explainReads(queries, planMode)
    const nodesOf = (table: string) => nodes.filter((node) => node['Relation Name'] === table)
    expect(nodesOf('last_logout')).toMatchObject([
      { 'Node Type': 'Index Scan', 'Index Name': 'last_logout_pkey' },
    ])
    expect(nodesOf('session_logout')).toMatchObject([
      { 'Node Type': 'Index Scan', 'Index Name': 'session_logout_pkey' },
    ])
  },
)

test('each of a thousand concurrent reads gets the rows of its own user and session', async () => {
  // Spreads the reads over all users, and over 1,000 numbers that no user has. A third of the reads names no session.
  // 7,919 is a prime number.
  const numbers = Array.from({ length: 1_000 }, (_, n) => (n * 7919) % (USERS + 1_000))
  const logouts = await Promise.all(
    numbers.map((n) => store.readKnownLogouts(`auth0|${n}`, n % 3 === 0 ? null : `S${n}`)),
  )
  const expected = numbers.map((n) => {
    const exists = n > 0 && n <= USERS
    const origin = { at: n * 1_000, logId: `L${n}`, type: 'slo' }
    return {
      user: exists ? { ...origin, allSessionsAt: null } : null,
      session: exists && n % 3 !== 0 ? { ...origin, ended: n % 2 === 0 } : null,
    }
  })
  expect(logouts.map(({ user, session }) => ({ user, session }))).toEqual(expected)
})

test('a read that begins after a commit returns the committed row, even while earlier reads are in progress', async () => {
  for (let attempt = 0; attempt < 20; attempt++) {
    const earlierReads = Array.from({ length: 300 }, (_, n) =>
      store.readKnownLogouts(`auth0|${n}`, null),
    )
    const at = await store.storeReported({
      userId: 'reported',
      sessionId: null,
      at: null,
      type: 'reported_logout',
    })
    const { user } = await store.readKnownLogouts('reported', null)
    expect(user?.at).toBe(at)
    await Promise.all(earlierReads)
  }
})

test('two concurrent reads fail with DATABASE_NOT_MIGRATED when the tenant row is missing', async () => {
  const otherDatabase = await createTestDatabase()
  const otherStore = await openTestStore(otherDatabase)
  await otherDatabase.query('DELETE FROM tenant')
  const results = await Promise.allSettled(
    ['a', 'b'].map((userId) => otherStore.readKnownLogouts(userId, null)),
  )
  expect(results).toMatchObject([
    { reason: { code: 'DATABASE_NOT_MIGRATED' } },
    { reason: { code: 'DATABASE_NOT_MIGRATED' } },
  ])
  await otherStore.close()
  await otherDatabase.drop()
})
