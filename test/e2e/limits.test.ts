import { expect, test } from 'vitest'
import { createPool } from '../../src/pg/pool.js'

// Tests the default timeouts of the store, which other tests shorten. Those of requests to Auth0 are tested in
// test/auth0/{limits,retry}.test.ts.

test('the store times out after 5 s for a connection and 15 s for a query by default', async () => {
  const { pool } = createPool('postgresql://127.0.0.1:1/x', {})
  expect(pool.options).toMatchObject({ connectionTimeoutMillis: 5_000, query_timeout: 15_000 })
  await pool.end()
})
