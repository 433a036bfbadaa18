import { expect, test } from 'vitest'
import { createPool } from '../../src/pg/pool.js'

// Other tests shorten the timeouts, so this file tests the defaults of the store. The files
// test/auth0/{limits,retry}.test.ts test the defaults of requests to Auth0.

test('by default, a connection of the store times out after 5 s, and a query after 15 s', async () => {
  const { pool } = createPool('postgresql://127.0.0.1:1/x', {})
  expect(pool.options).toMatchObject({ connectionTimeoutMillis: 5_000, query_timeout: 15_000 })
  await pool.end()
})
