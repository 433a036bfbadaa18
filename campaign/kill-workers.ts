import { setTimeout as sleep } from 'node:timers/promises'
import { pick, type Random, seededRandom } from '../src/simulator/random.js'
import { type RunningCommand, runCommand } from '../test/_support/cli.js'
import type { TestDatabase } from '../test/_support/database.js'
import { expireLease } from '../test/_support/store.js'
import { holdsLease } from './write-log.js'

/** The state of a worker when it was killed. `polling`: it held the lease. */
type Stage = 'starting' | 'waiting' | 'polling' | 'closing'

/** The result of {@link killWorkers}. */
export interface KillReport {
  starts: number
  kills: Record<Stage, number>
  /** Number of workers that shut down gracefully before they were killed. */
  stopped: number
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

/** When a worker is to be stopped and killed, and what follows. */
interface WorkerPlan {
  /** The state that the worker must reach first: `start`, or that it has logged this message. */
  until: 'start' | 'polling' | 'log read'
  /** Time between that state and the signal that ends the worker. */
  killAfterMs: number
  /** Time between SIGTERM and SIGKILL; `null`: no SIGTERM is sent. */
  stopBeforeMs: number | null
  /** Time until the next worker replaces this one. */
  pauseMs: number
  /** Whether the lease expires at once after the kill. Otherwise the other workers wait for its expiry. */
  expiresLease: boolean
}

/** How long a worker may take to reach a state. This is longer than a start and the lease of a killed worker together. */
const STATE_TIMEOUT_MS = 45_000

/** Starts workers and kills them, until the number of kills is reached. */
export async function killWorkers(options: KillOptions): Promise<KillReport> {
  const { workers, signal } = options
  const random = seededRandom(options.seed)
  const kills = { starting: 0, waiting: 0, polling: 0, closing: 0 }
  const report: KillReport = { starts: 0, kills, stopped: 0, problems: [] }
  let remaining = options.kills

  async function runOne(): Promise<void> {
    remaining -= 1
    const plan = nextPlan(random)
    const end = await runWorker(plan, `worker-${++report.starts}`, options)
    if (end === 'stopped') remaining += 1
    if (end === 'stopped') report.stopped += 1
    else if (typeof end === 'object') report.problems.push(end.problem)
    else kills[end] += 1
    if (plan.expiresLease) await expireLease(options.database)
    await sleep(plan.pauseMs, undefined, { signal })
  }

  async function runSlot(): Promise<void> {
    try {
      while (remaining > 0 && report.problems.length === 0) await runOne()
    } catch (error) {
      remaining = 0
      throw error
    }
  }

  // After a failure, the other slots wait for the end of their current worker, so that no process is left.
  const slots = await Promise.allSettled(Array.from({ length: workers }, runSlot))
  for (const slot of slots) if (slot.status === 'rejected') throw slot.reason
  return report
}

function nextPlan(random: Random): WorkerPlan {
  const until = pick<WorkerPlan['until']>(random, ['start', 'polling', 'polling', 'log read'])
  // A worker that is starting does not handle SIGTERM yet, and would end with an error.
  const isStopped = until !== 'start' && random() < 0.2
  return {
    until,
    killAfterMs: random() * 3_000,
    stopBeforeMs: isStopped ? random() * 100 : null,
    pauseMs: random() * 500,
    expiresLease: random() < 0.75,
  }
}

async function runWorker(
  plan: WorkerPlan,
  name: string,
  { env, database, signal }: KillOptions,
): Promise<Stage | 'stopped' | { problem: string }> {
  const url = new URL(database.url)
  url.searchParams.set('application_name', name)
  const worker = runCommand(['worker'], { ...env, DATABASE_URL: url.href })
  const wait = (ms: number) => Promise.race([sleep(ms, undefined, { signal }), worker.exited])
  try {
    if (plan.until !== 'start') await waitForLog(plan.until, worker, wait)
    await wait(plan.killAfterMs)
    if (plan.stopBeforeMs !== null) {
      worker.kill('SIGTERM')
      await wait(plan.stopBeforeMs)
    }
  } finally {
    worker.kill('SIGKILL')
  }
  const code = await worker.exited
  if (code === null) return stageOf(plan, name, worker, database)
  if (code === 0 && plan.stopBeforeMs !== null) return 'stopped'
  return { problem: `${name} exited unexpectedly with ${code}: ${worker.output().slice(-2_000)}` }
}

async function waitForLog(
  message: string,
  worker: RunningCommand,
  wait: (ms: number) => Promise<unknown>,
): Promise<void> {
  const deadline = performance.now() + STATE_TIMEOUT_MS
  let ended = false
  void worker.exited.then(() => {
    ended = true
  })
  while (!hasLogged(worker, message) && !ended && performance.now() < deadline) await wait(20)
}

function hasLogged(worker: RunningCommand, message: string): boolean {
  return worker.stdout().includes(`"msg":"${message}"`)
}

async function stageOf(
  plan: WorkerPlan,
  name: string,
  worker: RunningCommand,
  database: KillOptions['database'],
): Promise<Stage> {
  if (!hasLogged(worker, 'polling')) return 'starting'
  if (plan.stopBeforeMs !== null) return 'closing'
  return (await holdsLease(database, name)) ? 'polling' : 'waiting'
}
