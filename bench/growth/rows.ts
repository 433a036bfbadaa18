import type { BenchRun } from '../bench-run.js'
import { formatNumber } from '../figures.js'
import { openLoadGenerator } from '../load-generator.js'
import type { Load, LoadResult } from '../load-process.js'
import { median } from '../median.js'
import type { BenchDatabase } from '../open-bench-database.js'
import { startApi } from '../start-api.js'
import { sessionIdOf, userIdOf } from '../subjects.js'
import { type ClientLoad, loadClient } from './clients.js'
import { openGrownDatabase } from './grow-tables.js'

/** The measurements with `users` users and as many sessions in the tables. Each array has one value per round. */
export interface RowsResult {
  users: number
  reads: LoadResult[]
  reports: LoadResult[]
  /** Logouts stored per second, in batches of {@link LOGOUTS_PER_BATCH} users and their sessions. */
  logoutsPerSecond: number[]
  /** Size of each table and index after filling and before any write, in bytes. */
  bytes: Record<string, number>
  /** The load of a client from the API. `null` if this load would take too long. */
  load: ClientLoad | null
}

const CONNECTIONS = 64
const ROUNDS = 3
const ROUND_MS = 3_000
/** With more users, a client does not load the feed from the API, because it would take too long. */
const MAX_LOADED_USERS = 1_000_000

/** Number of logouts in a batch, as in a page of Auth0's log that contains only logouts. */
const LOGOUTS_PER_BATCH = 100

/** Measures reads, writes, sizes and the load of a client. Takes less than 100 seconds after the tables are filled. */
export async function measureRows(run: BenchRun, users: number): Promise<RowsResult> {
  const bench = await openGrownDatabase(run, users)
  const api = await startApi(run, bench.url)
  const generator = openLoadGenerator(run)
  const runLoad = (endpoint: Load['endpoint']) =>
    generator.run({
      url: api.url,
      endpoint,
      users,
      connections: CONNECTIONS,
      durationMs: ROUND_MS,
    })
  const bytes = await readSizes(bench)
  const clientLoad = users > MAX_LOADED_USERS ? null : await loadClient(run, api.url, users)
  // Warms the API and the database up.
  await runLoad('last-logout')
  const reads = await measureRounds(() => runLoad('last-logout'))
  const logoutsPerSecond = await measureRounds(() => measureWrites(bench, users))
  const reports = await measureRounds(() => runLoad('logouts'))
  return { users, reads, reports, logoutsPerSecond, bytes, load: clientLoad }
}

/** Describes a result in one line. */
export function describeRows({ users, reads, reports, logoutsPerSecond }: RowsResult): string {
  const readsPerSecond = median(reads.map(({ requestsPerSecond }) => requestsPerSecond))
  const reportsPerSecond = median(reports.map(({ requestsPerSecond }) => requestsPerSecond))
  return (
    `${formatNumber(users)} users: ${formatNumber(readsPerSecond)} reads/s, ` +
    `${formatNumber(median(logoutsPerSecond))} logouts/s, ${formatNumber(reportsPerSecond)} reports/s`
  )
}

async function measureRounds<Result>(measure: () => Promise<Result>): Promise<Result[]> {
  const results: Result[] = []
  while (results.length < ROUNDS) results.push(await measure())
  return results
}

/** Stores logouts of random users one batch after another, as the worker does. Returns the logouts per second. */
async function measureWrites({ store }: BenchDatabase, users: number): Promise<number> {
  const startedMs = performance.now()
  let logouts = 0
  while (performance.now() - startedMs < ROUND_MS) {
    await store.storeBatch({ ...randomLogouts(users), unattributable: [] })
    logouts += LOGOUTS_PER_BATCH
  }
  return (logouts * 1000) / (performance.now() - startedMs)
}

function randomLogouts(users: number) {
  const at = Date.now()
  const numbers = new Set<number>()
  while (numbers.size < LOGOUTS_PER_BATCH) numbers.add(Math.floor(Math.random() * users))
  const logouts = [...numbers].map((n) => ({
    userId: userIdOf(n),
    sessionId: sessionIdOf(n),
    at,
    allSessionsAt: null,
    ended: true,
    logId: String(n).padStart(56, '0'),
    type: 'slo',
  }))
  return {
    users: logouts.map(({ sessionId: _sessionId, ended: _ended, ...user }) => user),
    sessions: logouts.map(({ allSessionsAt: _allSessionsAt, ...session }) => session),
  }
}

/** Reads the sizes of both tables and their indexes, in bytes. */
async function readSizes({ database }: BenchDatabase): Promise<Record<string, number>> {
  const relations = await database.prisma.$queryRaw<{ name: string; bytes: number }[]>`
    SELECT c.relname::text AS name, pg_relation_size(c.oid)::float8 AS bytes
    FROM pg_class AS c LEFT JOIN pg_index AS i ON i.indexrelid = c.oid
    WHERE coalesce(i.indrelid, c.oid) IN ('last_logout'::regclass, 'session_logout'::regclass)
    ORDER BY c.relname`
  return Object.fromEntries(relations.map(({ name, bytes }) => [name, bytes]))
}
