import { expect, test } from 'vitest'
import { createPool } from '../../src/pg/pool.js'

// What the other tests here shorten; those of requests to Auth0: test/auth0/{limits,retry}.test.ts.

test('the store waits 5 s for a connection and 15 s for an answer by default', async () => {
  const { pool } = createPool('postgresql://127.0.0.1:1/x', {})
  expect(pool.options).toMatchObject({ connectionTimeoutMillis: 5_000, query_timeout: 15_000 })
  await pool.end()
})
