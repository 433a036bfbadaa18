import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { createPool } from '../../src/pg/pool.js'
import { createPreparedQuery } from '../../src/pg/prepared-query.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase('template0')
})
afterAll(() => database.drop())

const SUM = { text: 'SELECT $1::integer + 1 AS sum', values: [1] }
const LIST = 'SELECT name, statement FROM pg_prepared_statements'

/** Opens a pool. Queries that run one after another use the same connection. */
function openPool() {
  const { pool } = createPool(database.url, {})
  onTestFinished(() => pool.end())
  const errors: Error[] = []
  const queryPrepared = createPreparedQuery(pool, (error) => errors.push(error))
  return { pool, errors, queryPrepared }
}

test('a connection prepares a statement once, and runs it with other values', async () => {
  const { pool, errors, queryPrepared } = openPool()
  expect(await queryPrepared(SUM)).toEqual([{ sum: 2 }])
  expect(await queryPrepared({ ...SUM, values: [41] })).toEqual([{ sum: 42 }])
  const { rows } = await pool.query(LIST)
  expect(rows).toEqual([
    { name: expect.stringMatching(/^last_logout_[0-9a-f]{32}$/), statement: SUM.text },
  ])
  expect(errors).toEqual([])
})

test('statements with different texts get different names', async () => {
  const { pool, queryPrepared } = openPool()
  await queryPrepared(SUM)
  await queryPrepared({ text: `${SUM.text} `, values: [1] })
  const { rows } = await pool.query(LIST)
  expect(new Set(rows.map(({ name }) => name)).size).toBe(2)
})

test('statements run without a name after the server has lost a prepared statement', async () => {
  const { pool, errors, queryPrepared } = openPool()
  await queryPrepared(SUM)
  await pool.query('DEALLOCATE ALL')
  expect(await queryPrepared(SUM)).toEqual([{ sum: 2 }])
  expect(errors).toMatchObject([{ code: '26000' }])
  expect(await queryPrepared(SUM)).toEqual([{ sum: 2 }])
  expect((await pool.query(LIST)).rows).toEqual([])
  expect(errors).toHaveLength(1)
})

test('a statement runs without a name if another client has prepared another statement with this name', async () => {
  const first = openPool()
  await first.queryPrepared(SUM)
  const { rows } = await first.pool.query(LIST)
  const { pool, errors, queryPrepared } = openPool()
  await pool.query(`PREPARE ${rows[0]?.name} AS SELECT 'of another client' AS sum`)
  expect(await queryPrepared(SUM)).toEqual([{ sum: 2 }])
  expect(errors).toMatchObject([{ code: '42P05' }])
})

test('a query rejects with any other error, and later statements still run with their names', async () => {
  const { errors, queryPrepared } = openPool()
  const division = { text: 'SELECT 1 / $1::integer AS quotient', values: [0] }
  await expect(queryPrepared(division)).rejects.toMatchObject({ code: '22012' })
  expect(await queryPrepared({ ...division, values: [1] })).toEqual([{ quotient: 1 }])
  expect(errors).toEqual([])
})
