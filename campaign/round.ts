import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { generateHistory } from '../src/simulator/history.js'
import { createSimulator, type Simulator } from '../src/simulator/server.js'
import { createTenant } from '../src/simulator/tenant.js'
import { finishCommand } from '../test/_support/cli.js'
import { expireLease } from '../test/_support/store.js'
import { tenantEnv } from '../test/_support/tenant.js'
import { injectFaults } from './inject-faults.js'
import { type KillReport, killWorkers } from './kill-workers.js'
import { findProblems, type RoundOutcome } from './verdict.js'
import { logWrites } from './write-log.js'
import { startWriting, type Written } from './writer.js'

/** The options of a round: a part of the campaign with its own tenant, database and queue. */
export interface RoundOptions {
  /** A new, migrated database for this round. */
  databaseUrl: string
  /** The Redis server that holds the queue. Default: the database holds the queue. */
  redisUrl?: string | undefined
  seed: number
  /** Number of kills. */
  kills: number
  /** Number of concurrent workers. Default: 3. */
  workers?: number
  /** Share of the logouts that become visible late. Default: 0.02. */
  lateShare?: number
  signal: AbortSignal
}

/** The result of a round. */
export interface RoundReport extends RoundOutcome {
  workerReport: KillReport
  written: Written
  requests: number
  /** Number of requests without a response, or with a response whose status was not 200. */
  failedRequests: number
  seconds: number
}

const DOMAIN = 'campaign.example'
const USER_COUNT = 300
/** The history: the entries that the log contains before the round. */
const HISTORY_ENTRIES = 1_500
const HISTORY_MS = 2 * 86_400_000

/** Latency of each response of the tenant, in milliseconds. Because of it, some kills interrupt a request. */
const LATENCY_MS = 15

/**
 * Environment variables of the workers and of the final `sync`. A reconcile searches the recent log again for entries
 * that became visible late. `RECONCILE_WINDOW` is at least twice as long as the longest delay of an entry, so that a
 * reconcile finds every late entry.
 */
const WORKER_ENV = {
  POLL_INTERVAL: '100ms',
  RECONCILE_INTERVAL: '5s',
  RECONCILE_WINDOW: '60s',
  RATE_SHARE: '1',
}

/** Kills workers while the tenant writes entries. Then runs `sync`, and compares the rows with the expected rows. */
export async function runRound(options: RoundOptions): Promise<RoundReport> {
  const { databaseUrl, redisUrl, seed } = options
  const startedAt = performance.now()
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 2 })
  const query = async (sql: string, values?: unknown[]) => (await pool.query(sql, values)).rows
  const database = { url: databaseUrl, query }
  const simulator = await openTenant(seed)
  const env = { ...WORKER_ENV, ...tenantEnv(simulator), ...(redisUrl && { REDIS_URL: redisUrl }) }
  try {
    await logWrites(database)
    const { workerReport, written } = await killWorkersUnderFaults(options, {
      database,
      simulator,
      env,
    })
    // Entries become visible at their storage time. `sync` must find all of them.
    await sleep(written.storedAtMs + 1_000 - Date.now(), undefined, options)
    await expireLease(database)
    const sync = await finishCommand(['sync'], { ...env, DATABASE_URL: databaseUrl })
    const outcome = await findProblems(database, simulator.tenant, { workerReport, written, sync })
    const requests = simulator.requests.all()
    const failedRequests = requests.filter(({ status }) => status !== 200).length
    const seconds = (performance.now() - startedAt) / 1_000
    return { ...outcome, workerReport, written, requests: requests.length, failedRequests, seconds }
  } finally {
    await simulator.close()
    await pool.end()
  }
}

/** Starts a simulated tenant whose log contains the history. */
async function openTenant(seed: number): Promise<Simulator> {
  const tenant = createTenant({ domain: DOMAIN })
  const endMs = tenant.now() - 1_000
  const content = {
    entries: HISTORY_ENTRIES,
    logoutShare: 0.3,
    duplicateShare: 0.05,
    users: USER_COUNT,
  }
  const span = { startMs: endMs - HISTORY_MS, endMs }
  tenant.writeStored(generateHistory({ ...content, ...span, domain: DOMAIN, seed }))
  return createSimulator({ tenant, latencyMs: LATENCY_MS })
}

/** Kills `kills` workers. Meanwhile, the writer writes entries, and some requests to the tenant fail. */
async function killWorkersUnderFaults(
  { seed, kills, workers = 3, lateShare = 0.02, signal }: RoundOptions,
  {
    database,
    simulator,
    env,
  }: {
    database: Parameters<typeof killWorkers>[0]['database']
    simulator: Simulator
    env: Record<string, string>
  },
): Promise<{ workerReport: KillReport; written: Written }> {
  // The writer has another seed than the history, so that it does not repeat the sessions of the history.
  const writer = startWriting(simulator.tenant, {
    seed: seed + 1_000,
    users: USER_COUNT,
    lateShare,
  })
  injectFaults(simulator, seed + 2_000)
  try {
    const workerReport = await killWorkers({ seed, kills, workers, env, database, signal })
    return { workerReport, written: writer.written }
  } finally {
    simulator.faults.clear()
    writer.close()
  }
}
