import { expect, test } from 'vitest'
import { createPool } from '../../src/pg/pool.js'

// Other tests use shorter timeouts. This file tests the default timeouts of PostgreSQL connections. The files
// test/auth0/{limits,retry}.test.ts test the default timeouts of requests to Auth0.

test('by default, connecting to PostgreSQL times out after 5 s, and a query after 15 s', async () => {
  // The pool connects only when it is used, so no server is needed.
  const { pool } = createPool('postgresql://127.0.0.1:1/x', {})
  expect(pool.options).toMatchObject({ connectionTimeoutMillis: 5_000, query_timeout: 15_000 })
  await pool.end()
})
