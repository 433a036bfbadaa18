import { setTimeout as sleep } from 'node:timers/promises'
import { pick, type Random, seededRandom } from '../../src/simulator/random.js'
import { type RunningCommand, runCommand } from '../_support/cli.js'
import type { TestDatabase } from '../_support/database.js'
import { endLease, holdsLease } from './write-log.js'

/** What a worker was at when it was killed. `polling`: it held the lease. */
type Stage = 'starting' | 'waiting' | 'polling' | 'closing'

/** What became of the workers. */
export interface CrewReport {
  starts: number
  kills: Record<Stage, number>
  /** Those that were told to stop, and had done so before they could be killed. */
  stopped: number
  problems: string[]
}

/** Who is killed, how often, and by which seed. */
export interface CrewOptions {
  seed: number
  kills: number
  /** How many run at once. */
  workers: number
  env: Record<string, string>
  /** The workers' database; each worker bears its name there. */
  database: Pick<TestDatabase, 'query' | 'url'>
  signal: AbortSignal
}

/** How long a worker is left alone, and what it is told first. */
interface Life {
  /** What it is left alone until, at least. */
  until: 'start' | 'polling' | 'log read'
  killAfterMs: number
  /** How long before it is killed it is told to stop; `null`: it is not. */
  stopBeforeMs: number | null
  /** How long nobody is there in its place. */
  pauseMs: number
  /** Otherwise the lease of a killed worker keeps the others waiting, as it does in earnest. */
  endsLease: boolean
}

/** As long as the lease of a dead worker lasts, and the time to start. */
const LONGEST_WAIT_MS = 45_000

/** Starts workers and kills them, until so many have been killed. */
export async function killWorkers(options: CrewOptions): Promise<CrewReport> {
  const { workers, signal } = options
  const random = seededRandom(options.seed)
  const kills = { starting: 0, waiting: 0, polling: 0, closing: 0 }
  const report: CrewReport = { starts: 0, kills, stopped: 0, problems: [] }
  let remaining = options.kills

  async function runOne(): Promise<void> {
    remaining -= 1
    const life = nextLife(random)
    const end = await live(life, `worker-${++report.starts}`, options)
    if (end === 'stopped') remaining += 1
    if (end === 'stopped') report.stopped += 1
    else if (typeof end === 'object') report.problems.push(end.problem)
    else kills[end] += 1
    if (life.endsLease) await endLease(options.database)
    await sleep(life.pauseMs, undefined, { signal })
  }

  async function fillOnePlace(): Promise<void> {
    try {
      while (remaining > 0 && report.problems.length === 0) await runOne()
    } catch (error) {
      remaining = 0
      throw error
    }
  }

  // Nobody is left behind: the others end with the lives they have.
  const places = await Promise.allSettled(Array.from({ length: workers }, fillOnePlace))
  for (const place of places) if (place.status === 'rejected') throw place.reason
  return report
}

function nextLife(random: Random): Life {
  const until = pick<Life['until']>(random, ['start', 'polling', 'polling', 'log read'])
  // Node itself would end one that is told before it listens.
  const isTold = until !== 'start' && random() < 0.2
  return {
    until,
    killAfterMs: random() * 3_000,
    stopBeforeMs: isTold ? random() * 100 : null,
    pauseMs: random() * 500,
    endsLease: random() < 0.75,
  }
}

async function live(
  life: Life,
  name: string,
  { env, database, signal }: CrewOptions,
): Promise<Stage | 'stopped' | { problem: string }> {
  const url = new URL(database.url)
  url.searchParams.set('application_name', name)
  const worker = runCommand(['worker'], { ...env, DATABASE_URL: url.href })
  const wait = (ms: number) => Promise.race([sleep(ms, undefined, { signal }), worker.exited])
  try {
    if (life.until !== 'start') await untilLogged(life.until, worker, wait)
    await wait(life.killAfterMs)
    if (life.stopBeforeMs !== null) {
      worker.kill('SIGTERM')
      await wait(life.stopBeforeMs)
    }
  } finally {
    worker.kill('SIGKILL')
  }
  const code = await worker.exited
  if (code === null) return stageOf(life, name, worker, database)
  if (code === 0 && life.stopBeforeMs !== null) return 'stopped'
  return { problem: `${name} ended by itself with ${code}: ${worker.output().slice(-2_000)}` }
}

async function untilLogged(
  message: string,
  worker: RunningCommand,
  wait: (ms: number) => Promise<unknown>,
): Promise<void> {
  const giveUpAt = performance.now() + LONGEST_WAIT_MS
  let ended = false
  void worker.exited.then(() => {
    ended = true
  })
  while (!hasLogged(worker, message) && !ended && performance.now() < giveUpAt) await wait(20)
}

function hasLogged(worker: RunningCommand, message: string): boolean {
  return worker.stdout().includes(`"msg":"${message}"`)
}

async function stageOf(
  life: Life,
  name: string,
  worker: RunningCommand,
  database: CrewOptions['database'],
): Promise<Stage> {
  if (!hasLogged(worker, 'polling')) return 'starting'
  if (life.stopBeforeMs !== null) return 'closing'
  return (await holdsLease(database, name)) ? 'polling' : 'waiting'
}
