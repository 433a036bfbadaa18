import { setTimeout as sleep } from 'node:timers/promises'
import { pick, type Random, seededRandom } from '../src/simulator/random.js'
import { type RunningCommand, runCommand } from '../test/_support/cli.js'
import type { TestDatabase } from '../test/_support/database.js'
import { expireLease } from '../test/_support/store.js'
import { holdsLease } from './write-log.js'

/**
 * The state of a worker when it was killed. `starting`: it had not logged `polling`. `closing`: it had received
 * SIGTERM. `withLease`: it had the lease, which is the exclusive right to poll. `withoutLease`: it had logged `polling`,
 * but did not have the lease.
 */
type Stage = 'starting' | 'withoutLease' | 'withLease' | 'closing'

/** The result of {@link killWorkers}. */
export interface KillReport {
  starts: number
  kills: Record<Stage, number>
  /** Number of workers that exited after SIGTERM, before SIGKILL was sent. */
  gracefulExits: number
  problems: string[]
}

/** The options of {@link killWorkers}. */
export interface KillOptions {
  seed: number
  kills: number
  /** Number of concurrent workers. */
  workers: number
  env: Record<string, string>
  /** The database of the workers. Each worker connects to it with the worker's name as `application_name`. */
  database: Pick<TestDatabase, 'query' | 'url'>
  signal: AbortSignal
}

/** The signals that a worker receives, and the time until the next worker starts. */
interface WorkerPlan {
  /** The message that the worker logs before it receives the first signal. `start`: no message is awaited. */
  signalAfter: 'start' | 'polling' | 'log read'
  /** Time from this message, or from the start, to the first signal. */
  signalDelayMs: number
  /** Time from SIGTERM to SIGKILL. `null`: the worker receives only SIGKILL. */
  gracePeriodMs: number | null
  /** Time from the exit of this worker to the start of the next worker. */
  pauseMs: number
  /** Whether the lease is made to expire at once after the kill. Otherwise, the other workers wait until it expires. */
  expiresLease: boolean
}

/**
 * Maximum time until a worker logs a message, in milliseconds. A worker can have to wait for the lease of a killed
 * worker, so this is longer than a start and a lease together.
 */
const LOG_TIMEOUT_MS = 45_000

/** Starts and kills workers until `options.kills` workers were killed. */
export async function killWorkers(options: KillOptions): Promise<KillReport> {
  const { workers, signal } = options
  const random = seededRandom(options.seed)
  const kills = { starting: 0, withoutLease: 0, withLease: 0, closing: 0 }
  const report: KillReport = { starts: 0, kills, gracefulExits: 0, problems: [] }
  let remainingKills = options.kills

  async function runNextWorker(): Promise<void> {
    // Counts the kill in advance, so that concurrent slots do not start too many workers.
    remainingKills -= 1
    const plan = nextPlan(random)
    const outcome = await runWorker(plan, `worker-${++report.starts}`, options)
    if (outcome === 'graceful exit') remainingKills += 1
    if (outcome === 'graceful exit') report.gracefulExits += 1
    else if (typeof outcome === 'object') report.problems.push(outcome.problem)
    else kills[outcome] += 1
    if (plan.expiresLease) await expireLease(options.database)
    await sleep(plan.pauseMs, undefined, { signal })
  }

  /** A slot runs one worker after another. All slots run concurrently. */
  async function runSlot(): Promise<void> {
    try {
      while (remainingKills > 0 && report.problems.length === 0) await runNextWorker()
    } catch (error) {
      remainingKills = 0
      throw error
    }
  }

  // After a failure of one slot, the other slots end with the exit of their current worker, so that no process remains.
  const slots = await Promise.allSettled(Array.from({ length: workers }, runSlot))
  for (const slot of slots) if (slot.status === 'rejected') throw slot.reason
  return report
}

function nextPlan(random: Random): WorkerPlan {
  const signalAfter = pick<WorkerPlan['signalAfter']>(random, [
    'start',
    'polling',
    'polling',
    'log read',
  ])
  // A worker handles SIGTERM only after it has started. Until then, SIGTERM would end the worker with an error.
  const receivesSigterm = signalAfter !== 'start' && random() < 0.2
  return {
    signalAfter,
    signalDelayMs: random() * 3_000,
    gracePeriodMs: receivesSigterm ? random() * 100 : null,
    pauseMs: random() * 500,
    expiresLease: random() < 0.75,
  }
}

async function runWorker(
  plan: WorkerPlan,
  name: string,
  { env, database, signal }: KillOptions,
): Promise<Stage | 'graceful exit' | { problem: string }> {
  const url = new URL(database.url)
  url.searchParams.set('application_name', name)
  const worker = runCommand(['worker'], { ...env, DATABASE_URL: url.href })
  const waitWhileRunning = (ms: number) =>
    Promise.race([sleep(ms, undefined, { signal }), worker.exited])
  try {
    if (plan.signalAfter !== 'start') await waitForLog(plan.signalAfter, worker, waitWhileRunning)
    await waitWhileRunning(plan.signalDelayMs)
    if (plan.gracePeriodMs !== null) {
      worker.kill('SIGTERM')
      await waitWhileRunning(plan.gracePeriodMs)
    }
  } finally {
    worker.kill('SIGKILL')
  }
  const code = await worker.exited
  // An exit code is `null` if a signal ended the process.
  if (code === null) return findStage(plan, name, worker, database)
  if (code === 0 && plan.gracePeriodMs !== null) return 'graceful exit'
  return { problem: `${name} exited unexpectedly with ${code}: ${worker.output().slice(-2_000)}` }
}

async function waitForLog(
  message: string,
  worker: RunningCommand,
  waitWhileRunning: (ms: number) => Promise<unknown>,
): Promise<void> {
  const deadline = performance.now() + LOG_TIMEOUT_MS
  let hasExited = false
  void worker.exited.then(() => {
    hasExited = true
  })
  while (!hasLogged(worker, message) && !hasExited && performance.now() < deadline)
    await waitWhileRunning(20)
}

function hasLogged(worker: RunningCommand, message: string): boolean {
  return worker.stdout().includes(`"msg":"${message}"`)
}

async function findStage(
  plan: WorkerPlan,
  name: string,
  worker: RunningCommand,
  database: KillOptions['database'],
): Promise<Stage> {
  if (!hasLogged(worker, 'polling')) return 'starting'
  if (plan.gracePeriodMs !== null) return 'closing'
  return (await holdsLease(database, name)) ? 'withLease' : 'withoutLease'
}
