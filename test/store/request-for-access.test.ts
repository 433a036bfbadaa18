import { expect, onTestFinished, test } from 'vitest'
import { fold } from '../../src/rules/fold.js'
import { createTestDatabase } from '../_support/database.js'
import { readExample } from '../_support/documents.js'
import { openTestStore } from '../_support/store.js'

const AT = Date.parse('2026-11-23T12:00:00Z')

test('the SQL of docs/privacy.md returns the rows of the user, and else only entries that contain a longer id', async () => {
  const database = await createTestDatabase()
  onTestFinished(database.drop)
  const store = await openTestStore(database)
  const ids = ['auth0|123', 'auth0|1234', 'AUTH0|123', 'google-oauth2|123']
  await store.storeBatch({
    ...fold(
      ids.flatMap((userId) => [
        { logId: `phone ${userId}`, type: 'slo', at: AT, userId, sessionId: `phone of ${userId}` },
        { logId: `all ${userId}`, type: 'scp', at: AT + 1, userId, sessionId: null },
      ]),
    ),
    unattributable: ids.map((userId) => ({
      logId: `without instant ${userId}`,
      reason: 'no_instant',
      entry: JSON.stringify({ user_id: userId }),
    })),
  })
  await store.close()

  const sql = await readExample('docs/privacy.md', 'Answer a request for access', 'sql')
  const statements = sql.split(';').filter((statement) => statement.trim() !== '')
  const results = await Promise.all(statements.map((statement) => database.query(statement)))
  expect(results).toEqual([
    [expect.objectContaining({ user_id: 'auth0|123', log_id: 'all auth0|123' })],
    [expect.objectContaining({ session_id: 'phone of auth0|123', user_id: 'auth0|123' })],
    // As the page warns: an entry can contain a longer id.
    [
      expect.objectContaining({ entry: '{"user_id":"auth0|123"}' }),
      expect.objectContaining({ entry: '{"user_id":"auth0|1234"}' }),
    ],
  ])
})
