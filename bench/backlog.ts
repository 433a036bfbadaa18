/**
 * Measures the memory of the built `last-logout worker` while it reads a backlog: the entries that the tenant has
 * stored in six hours without a worker.
 *
 *   npm run bench:backlog [-- entries]
 */
import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { readProcess } from '../soak/processes.js'
import { migrateQueue } from '../src/jobs/jobs.js'
import { withClient } from '../src/pg/client.js'
import { syntheticLogId } from '../src/rules/log-id.js'
import { applyMigrations } from '../src/store/migrations.js'
import {
  type BenchRun,
  endWithRun,
  forkProcess,
  receiveMessage,
  startBenchRun,
} from './bench-run.js'
import { BENCH_DOMAIN } from './start-api.js'
import { openTemporaryPostgres } from './temporary-postgres.js'

const SAMPLE_INTERVAL_MS = 1_000
/** After this time, the measurement ends, even if the worker has not read all entries. */
const MAX_DURATION_MS = 85_000
/** The first samples do not count, because the worker still loads and compiles its code. */
const WARM_UP_SAMPLES = 5
/** The time between the first and the last entry of the backlog. */
const BACKLOG_MS = 6 * 3_600_000
/** The age of the last entry of the backlog. */
const LAST_ENTRY_AGE_MS = 60_000
/** The measurement ends when the worker has read this share of the backlog. */
const MIN_READ_SHARE = 0.9999
/** Maximum difference between the highest and the lowest memory of the worker. */
const MAX_RANGE_MIB = 64

/** The result of {@link measureBacklog}. */
export interface BacklogMeasurement {
  /** Number of entries that were read. Fewer than requested if the time was too short. */
  entries: number
  seconds: number
  /** Resident memory of the worker, once a second. */
  rssMiB: number[]
}

/** Starts a worker that reads a backlog of `entries` entries, and samples the memory of the worker. */
export async function measureBacklog(run: BenchRun, entries: number): Promise<BacklogMeasurement> {
  const endMs = Date.now() - LAST_ENTRY_AGE_MS
  const startMs = endMs - BACKLOG_MS
  const args = [BENCH_DOMAIN, ...[entries, startMs, endMs].map(String)]
  const tenant = forkProcess(run, 'backlog-process.ts', args)
  const postgres = await openTemporaryPostgres(run)
  const { url, credentials } = await receiveMessage<TenantMessage>(tenant)
  await prepareDatabase(postgres.url, startMs)
  const pid = startWorker(run, postgres.url, url, credentials)
  return sampleMemory(pid, postgres.url, { entries, startMs, endMs })
}

/** The message that `backlog-process.ts` sends. */
interface TenantMessage {
  url: string
  credentials: { clientId: string; clientSecret: string }
}

/** Creates the tables. Inserts the tenant row that a worker leaves if it has read the log up to `startMs`. */
async function prepareDatabase(databaseUrl: string, startMs: number): Promise<void> {
  await applyMigrations(databaseUrl)
  await migrateQueue(databaseUrl)
  await withClient(databaseUrl, (client) =>
    client.query(
      `INSERT INTO tenant (id, domain, checkpoint, as_of, reconciled_to)
       VALUES (1, $1, $2, to_timestamp($3::float8 / 1000), to_timestamp($3::float8 / 1000))`,
      [BENCH_DOMAIN, syntheticLogId(startMs - 1), startMs],
    ),
  )
}

/** Starts the worker, which ends with the run. Returns its process id. */
function startWorker(
  run: BenchRun,
  databaseUrl: string,
  baseUrl: string,
  { clientId, clientSecret }: TenantMessage['credentials'],
): number {
  const main = fileURLToPath(new URL('../dist/main.js', import.meta.url))
  const worker = spawn(process.execPath, [main, 'worker'], {
    env: {
      PATH: process.env.PATH,
      AUTH0_DOMAIN: BENCH_DOMAIN,
      AUTH0_BASE_URL: baseUrl,
      AUTH0_CLIENT_ID: clientId,
      AUTH0_CLIENT_SECRET: clientSecret,
      DATABASE_URL: databaseUrl,
      RATE_SHARE: '1',
      LOG_LEVEL: 'warn',
    },
    stdio: ['ignore', 'inherit', 'inherit'],
    detached: true,
  })
  endWithRun(run, worker, 'last-logout worker')
  return worker.pid ?? 0
}

interface Backlog {
  entries: number
  startMs: number
  endMs: number
}

/** Samples the memory until the backlog has been read, or until {@link MAX_DURATION_MS}. */
async function sampleMemory(
  pid: number,
  databaseUrl: string,
  { entries, startMs, endMs }: Backlog,
): Promise<BacklogMeasurement> {
  const rssMiB: number[] = []
  const startedAt = performance.now()
  return withClient(databaseUrl, async (client) => {
    for (;;) {
      await sleep(SAMPLE_INTERVAL_MS)
      rssMiB.push((await readProcess(pid)).rssMiB)
      const { rows } = await client.query<{ read_to: number }>(
        'SELECT extract(epoch FROM as_of)::float8 * 1000 AS read_to FROM tenant',
      )
      const readShare = Math.min(1, ((rows[0]?.read_to ?? startMs) - startMs) / (endMs - startMs))
      const elapsedMs = performance.now() - startedAt
      if (readShare < MIN_READ_SHARE && elapsedMs < MAX_DURATION_MS) continue
      return { entries: Math.round(readShare * entries), seconds: elapsedMs / 1_000, rssMiB }
    }
  })
}

function formatReport({ entries, seconds, rssMiB }: BacklogMeasurement): string {
  const steady = rssMiB.slice(WARM_UP_SAMPLES)
  const maxima = Array.from({ length: 10 }, (_, n) => {
    const part = steady.slice((n * steady.length) / 10, ((n + 1) * steady.length) / 10)
    return Math.max(...part).toFixed(0)
  })
  const range = Math.max(...steady) - Math.min(...steady)
  return [
    `${entries} entries in ${seconds.toFixed(0)} s (${(entries / seconds).toFixed(0)}/s)`,
    `resident memory, the maximum of each tenth: ${maxima.join(' ')} MiB`,
    `range after the first ${WARM_UP_SAMPLES} s: ${range.toFixed(0)} MiB (limit ${MAX_RANGE_MIB} MiB)`,
  ].join('\n')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [entries = '1000000'] = process.argv.slice(2)
  const run = startBenchRun()
  console.log(formatReport(await measureBacklog(run, Number(entries))))
  await run.end()
}
