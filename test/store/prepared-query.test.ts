import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { createPool } from '../../src/pg/pool.js'
import { createPreparedQuery } from '../../src/pg/prepared-query.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase('template0')
})
afterAll(() => database.drop())

/** A statement that adds 1 to its parameter. */
const SUM = { text: 'SELECT $1::integer + 1 AS sum', values: [1] }

/** Opens a pool. Queries that run one after another use the same connection. */
function openPool() {
  const { pool } = createPool(database.url, {})
  // `pool.end()` resolves before the connections are closed. The server reports an error to them if the database is
  // dropped first.
  pool.on('error', () => {})
  onTestFinished(() => pool.end())
  /** The errors that showed that prepared statements are not supported. */
  const reportedErrors: Error[] = []
  const queryPrepared = createPreparedQuery(pool, (error) => reportedErrors.push(error))
  /** Lists the prepared statements of the connection. */
  const listPrepared = async () =>
    (await pool.query('SELECT name, statement FROM pg_prepared_statements')).rows
  return { pool, reportedErrors, queryPrepared, listPrepared }
}

test('a connection prepares a statement once, and runs it with other values', async () => {
  const { reportedErrors, queryPrepared, listPrepared } = openPool()
  expect(await queryPrepared(SUM)).toEqual([{ sum: 2 }])
  expect(await queryPrepared({ ...SUM, values: [41] })).toEqual([{ sum: 42 }])
  expect(await listPrepared()).toEqual([
    { name: expect.stringMatching(/^last_logout_[0-9a-f]{32}$/), statement: SUM.text },
  ])
  expect(reportedErrors).toEqual([])
})

test('statements with different texts are prepared with different names', async () => {
  const { queryPrepared, listPrepared } = openPool()
  await queryPrepared(SUM)
  await queryPrepared({ text: `${SUM.text} `, values: [1] })
  const names = (await listPrepared()).map(({ name }) => name)
  expect(new Set(names).size).toBe(2)
})

// A connection pooler can forward each statement to another connection of the server. Then a statement that one
// connection has prepared is missing on the next one, or has already been prepared there by another client.

test('after a prepared statement is missing on the server, all statements run unprepared', async () => {
  const { pool, reportedErrors, queryPrepared, listPrepared } = openPool()
  await queryPrepared(SUM)
  await pool.query('DEALLOCATE ALL')
  expect(await queryPrepared(SUM)).toEqual([{ sum: 2 }])
  const unknownStatement = '26000'
  expect(reportedErrors).toMatchObject([{ code: unknownStatement }])
  expect(await queryPrepared(SUM)).toEqual([{ sum: 2 }])
  expect(await listPrepared()).toEqual([])
  expect(reportedErrors).toHaveLength(1)
})

test('a statement runs unprepared if another client has prepared a different statement with its name', async () => {
  const first = openPool()
  await first.queryPrepared(SUM)
  const [statement] = await first.listPrepared()
  const second = openPool()
  await second.pool.query(`PREPARE ${statement?.name} AS SELECT 'of another client' AS sum`)
  expect(await second.queryPrepared(SUM)).toEqual([{ sum: 2 }])
  const duplicateStatement = '42P05'
  expect(second.reportedErrors).toMatchObject([{ code: duplicateStatement }])
})

test('an error of the statement itself rejects the query, and does not count as missing support', async () => {
  const { reportedErrors, queryPrepared } = openPool()
  const division = { text: 'SELECT 1 / $1::integer AS quotient', values: [0] }
  const divisionByZero = '22012'
  await expect(queryPrepared(division)).rejects.toMatchObject({ code: divisionByZero })
  expect(await queryPrepared({ ...division, values: [1] })).toEqual([{ quotient: 1 }])
  expect(reportedErrors).toEqual([])
})
