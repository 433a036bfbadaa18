/**
 * Kills workers at random times. Meanwhile, a simulated tenant writes entries, and some requests to the tenant fail.
 * Then compares every row with the expected row. `--seed` determines the entries and the run time of each worker, but
 * not how many entries are written before a kill. `--late` is the share of the logouts that become visible late.
 *
 *   npm run campaign [-- --kills 200 --seed 1 --workers 3 --late 0.02]
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { createEmbeddedPostgres } from '../src/embedded-postgres/server.js'
import { migrateQueue } from '../src/jobs/jobs.js'
import { applyMigrations } from '../src/store/migrations.js'
import { startRedis } from '../test/_support/redis.js'
import { type RoundReport, runRound } from './round.js'

const MAX_SHOWN_PROBLEMS = 20

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    workers: { type: 'string', default: '3' },
    late: { type: 'string', default: '0.02' },
  },
})
const [kills, seed, workers, lateShare] = [
  readNumber('kills', 2),
  readNumber('seed', 0),
  readNumber('workers', 1),
  readNumber('late', 0),
]

const interruption = new AbortController()
// At Ctrl-C, both the terminal and npm send a signal. The second signal must not interrupt the cleanup.
for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => interruption.abort())

const dataDir = await mkdtemp(join(tmpdir(), 'last-logout-campaign-'))
try {
  process.exitCode = (await runCampaign()) ? 0 : 1
} catch (error) {
  process.exitCode = 1
  if (!interruption.signal.aborted) throw error
  print('stopped')
} finally {
  await rm(dataDir, { recursive: true, force: true })
}

async function runCampaign(): Promise<boolean> {
  const postgres = await createEmbeddedPostgres({ dataDir, durable: false })
  const redis = await startRedis({ forceNew: true })
  try {
    if ('skip' in redis) throw new Error(redis.skip)
    const killsOfFirstRound = Math.ceil(kills / 2)
    const sharedOptions = { workers, lateShare, signal: interruption.signal }
    print(`seed ${seed}: ${kills} kills with ${workers} concurrent workers, in two rounds`)
    const onPostgres = await runRound({
      ...sharedOptions,
      databaseUrl: await createDatabase(postgres.url, 'queue_on_postgresql'),
      seed,
      kills: killsOfFirstRound,
    })
    printReport('queue in PostgreSQL', onPostgres)
    const onRedis = await runRound({
      ...sharedOptions,
      databaseUrl: await createDatabase(postgres.url, 'queue_on_redis'),
      redisUrl: redis.url,
      seed: seed + 1,
      kills: kills - killsOfFirstRound,
    })
    printReport('queue in Redis', onRedis)
    return onPostgres.problems.length + onRedis.problems.length === 0
  } finally {
    if (!('skip' in redis)) await redis.stop()
    await postgres.close()
  }
}

async function createDatabase(serverUrl: string, name: string): Promise<string> {
  const client = new pg.Client({ connectionString: serverUrl })
  await client.connect()
  await client.query(`CREATE DATABASE ${name}`)
  await client.end()
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  await applyMigrations(url.href)
  await migrateQueue(url.href)
  return url.href
}

function printReport(name: string, report: RoundReport): void {
  const { workerReport, written, problems } = report
  const { starting, withoutLease, withLease, closing } = workerReport.kills
  print(`
${name}: ${report.seconds.toFixed(0)} s
  kills        ${starting + withoutLease + withLease + closing}: ${starting} while starting, ${withLease} with the lease, ${withoutLease} without it, ${closing} while closing
  starts       ${workerReport.starts}, of which ${workerReport.gracefulExits} exited after SIGTERM, before the kill
  entries      ${written.entries} written: ${written.duplicates} twice, ${written.lateLogIds.size} late, ${written.unattributable} unattributable
  requests     ${report.requests}, of which ${report.failedRequests} failed
  rows         ${report.users} users, ${report.sessions} sessions, ${report.unattributable} unattributable entries
  reconciled   ${report.reconciled} late entries that no poll read
  writes       ${report.writes} logged, among them ${report.pages} pages by workers
  differences  ${problems.length === 0 ? 'none: every row is as expected, and no value decreased' : problems.length}`)
  for (const problem of problems.slice(0, MAX_SHOWN_PROBLEMS)) print(`    ${problem}`)
}

function readNumber(name: keyof typeof values, min: number): number {
  const value = Number(values[name])
  if (!(value >= min)) throw new TypeError(`--${name} must be a number from ${min}`)
  return value
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}
