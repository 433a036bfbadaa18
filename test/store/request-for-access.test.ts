import { expect, onTestFinished, test } from 'vitest'
import { fold } from '../../src/rules/fold.js'
import { createTestDatabase } from '../_support/database.js'
import { readExample } from '../_support/documents.js'
import { openTestStore } from '../_support/store.js'

const AT = Date.parse('2026-11-23T12:00:00Z')

// The unattributable entries are entries of the log that may be logouts, but cannot be used.

test('the SQL of docs/privacy.md returns the rows of the user, and all unattributable entries that contain the user id', async () => {
  const database = await createTestDatabase()
  onTestFinished(database.drop)
  const store = await openTestStore(database)
  // The SQL in the document is for the first user. The other ids are similar.
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
    // The SQL also finds entries of a user whose id begins with the id of this user. The document warns of this.
    [
      expect.objectContaining({ entry: '{"user_id":"auth0|123"}' }),
      expect.objectContaining({ entry: '{"user_id":"auth0|1234"}' }),
    ],
  ])
})
