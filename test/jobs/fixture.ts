import { randomUUID } from 'node:crypto'
import { type Level, type Logger, pino } from 'pino'
import { afterAll, beforeAll, expect, type TestContext, vi } from 'vitest'
import { createJobs, type Jobs, type JobsOptions, type ScheduledJob } from '../../src/jobs/jobs.js'
import { WAIT } from '../_support/wait.js'

/** A job that records the start of each run. */
export interface TestJob extends ScheduledJob {
  /** Start times of the runs, in milliseconds since the epoch. */
  startedAt: number[]
}

/** A logger whose lines a test can read. */
export interface TestLog {
  log: Logger
  /** Returns the lines of one level. */
  lines(level: Level): Record<string, unknown>[]
  /** Returns all lines as text. */
  text(): string
}

/** An interval that is longer than any test. A job with this interval runs once in a test. */
export const ONE_HOUR_MS = 3_600_000

/** Creates a job that runs `work` every `everyMs`. */
export function createTestJob(
  everyMs: number,
  work: (signal: AbortSignal) => Promise<void> = async () => undefined,
  name = 'tick',
): TestJob {
  const startedAt: number[] = []
  const run = (signal: AbortSignal): Promise<void> => {
    startedAt.push(Date.now())
    return work(signal)
  }
  return { name, everyMs, run, startedAt }
}

/** The context of a test. Concurrent tests must use `onTestFinished` of this context, not the import from Vitest. */
export type Context = Pick<TestContext, 'onTestFinished'>

/** Starts jobs, and closes them when the test ends. */
export async function startJobs(
  { onTestFinished }: Context,
  options: Omit<JobsOptions, 'log'> & { log?: Logger },
): Promise<Jobs> {
  const jobs = await createJobs({ log: createTestLog().log, watchIntervalMs: 500, ...options })
  onTestFinished(() => jobs.close())
  return jobs
}

/** Waits until `times` further runs of the job have started. */
export async function waitForStarts(job: TestJob, times = 2): Promise<void> {
  const minStarts = job.startedAt.length + times
  await vi.waitFor(() => expect(job.startedAt.length).toBeGreaterThanOrEqual(minStarts), WAIT)
}

/** Creates a logger whose lines a test can read. */
export function createTestLog(): TestLog {
  const writtenLines: string[] = []
  const parseLines = () => writtenLines.map((line) => JSON.parse(line) as Record<string, unknown>)
  return {
    log: pino({ level: 'trace' }, { write: (line: string) => writtenLines.push(line) }),
    lines: (level) => parseLines().filter((line) => line.level === pino.levels.values[level]),
    text: () => writtenLines.join(''),
  }
}

/** Returns a unique prefix, so that a test has its own queue. */
export function uniquePrefix(): string {
  return `test-${randomUUID()}`
}

/** Fails the test file if a test prints to the console. */
export function forbidConsole(): void {
  const print = vi.fn()
  beforeAll(() => {
    for (const method of ['log', 'info', 'warn', 'error'] as const) {
      vi.spyOn(console, method).mockImplementation(print)
    }
  })
  afterAll(() => {
    vi.restoreAllMocks()
    expect(print.mock.calls).toEqual([])
  })
}
