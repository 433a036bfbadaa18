import { afterAll, describe, expect, onTestFinished, type TestContext, test } from 'vitest'
import { runRound } from '../../campaign/round.js'
import { logWrites, readWrites } from '../../campaign/write-log.js'
import { createTestDatabase } from '../_support/database.js'
import { startRedis } from '../_support/redis.js'

const redis = await startRedis({ forceNew: true })
const isRedisMissing = 'skip' in redis
if (!isRedisMissing) afterAll(() => redis.stop())

/**
 * Runs a short round of `npm run campaign` in a new database: workers are killed 6 times, and one in ten entries
 * becomes visible late. The database is dropped after the test.
 */
async function runShortRound({ onTestFinished }: TestContext, redisUrl?: string) {
  const database = await createTestDatabase()
  onTestFinished(() => database.drop())
  const { signal } = new AbortController()
  const databaseUrl = database.url
  return runRound({ databaseUrl, redisUrl, seed: 4, kills: 6, lateShare: 0.1, signal })
}

describe.concurrent('workers that are killed at random times', () => {
  test('workers that are killed lose no entry and decrease no stored value, with the queue in PostgreSQL', {
    timeout: 90_000,
  }, async (context) => {
    const { problems, workerReport, unattributable } = await runShortRound(context)
    // The round lists lost entries and decreased values as problems.
    expect(problems).toEqual([])
    expect(Object.values(workerReport.kills).reduce((sum, kills) => sum + kills)).toBe(6)
    expect(unattributable).toBeGreaterThan(0)
  })

  test.skipIf(isRedisMissing)(
    'workers that are killed lose no entry and decrease no stored value, with the queue in Redis',
    { timeout: 90_000 },
    async (context) => {
      const redisUrl = isRedisMissing ? undefined : redis.url
      const { problems, workerReport, unattributable } = await runShortRound(context, redisUrl)
      expect(problems).toEqual([])
      expect(Object.values(workerReport.kills).reduce((sum, kills) => sum + kills)).toBe(6)
      expect(unattributable).toBeGreaterThan(0)
    },
  )
})

test('readWrites reports each write that decreases a value or deletes a row, and no other write', async () => {
  const database = await createTestDatabase()
  onTestFinished(() => database.drop())
  await logWrites(database)
  await database.query(`
    INSERT INTO tenant (id, domain, checkpoint, as_of) VALUES (1, 'a', '9002', '2026-11-24T10:00Z');
    INSERT INTO last_logout VALUES ('u', '2026-11-24T10:00Z', '2026-11-24T09:00Z', '1', 'slo', 1);
    INSERT INTO session_logout VALUES ('s', 'u', '2026-11-24T10:00Z', true, '1', 'slo', 2);
    UPDATE tenant SET checkpoint = '9003', as_of = '2026-11-24T10:01Z', lease_owner = 'w';
    UPDATE last_logout SET at = '2026-11-24T10:01Z', seq = 3`)
  // The writer is not a worker, so its writes do not count as pages.
  expect(await readWrites(database)).toEqual({ writes: 5, pages: 0, wrongWrites: [] })
  await database.query(`
    UPDATE tenant SET checkpoint = '9001', as_of = '2026-11-24T09:00Z';
    UPDATE last_logout SET at = '2026-11-24T09:00Z', all_sessions_at = NULL;
    UPDATE session_logout SET ended = false;
    DELETE FROM session_logout;
    TRUNCATE last_logout`)
  const { wrongWrites } = await readWrites(database)
  // Removes the name of the table and the values. The name of the writer is empty.
  expect(wrongWrites.map((text) => text.replace(/ from .*| of .*/, '')).sort()).toEqual([
    ' decreased all_sessions_at',
    ' decreased as_of',
    ' decreased at',
    ' decreased checkpoint',
    ' decreased ended',
    ' deleted',
    ' deleted',
  ])
})
