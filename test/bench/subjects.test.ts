import { pino } from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fillTables } from '../../bench/fill-tables.js'
import { sessionIdOf, userIdOf } from '../../bench/subjects.js'
import { createDatabase } from '../../src/store/database.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openTestStore } from '../_support/store.js'

let database: TestDatabase

beforeAll(async () => {
  database = await createTestDatabase()
  await (await openTestStore(database)).close()
})

afterAll(() => database.drop())

test.each([0, 3_500_000, 9_999_999])(
  'stores user and session number %i with the ids that the load generator requests',
  async (n) => {
    const opened = createDatabase(database.url, pino({ level: 'silent' }))
    try {
      await fillTables(opened, n + 1, n)
      expect(
        await opened.prisma.$queryRaw`
        SELECT user_id, session_id FROM session_logout WHERE user_id = ${userIdOf(n)}
      `,
      ).toEqual([{ user_id: userIdOf(n), session_id: sessionIdOf(n) }])
    } finally {
      await opened.close()
    }
  },
)

test('returns other ids for negative numbers', () => {
  expect(userIdOf(-7)).not.toBe(userIdOf(7))
  expect(userIdOf(-7)).toHaveLength(30)
})
