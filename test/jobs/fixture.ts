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

/** Creates a job that runs `work` every `everyMs`. By default, `work` does nothing. */
export function createTestJob(
  everyMs: number,
  options: { name?: string; work?: (signal: AbortSignal) => Promise<void> } = {},
): TestJob {
  const { name = 'tick', work = async () => undefined } = options
  const startedAt: number[] = []
  const run = (signal: AbortSignal): Promise<void> => {
    startedAt.push(Date.now())
    return work(signal)
  }
  return { name, everyMs, run, startedAt }
}

/** The context of a test. Concurrent tests must use `onTestFinished` of this context, not the import from Vitest. */
export type Context = Pick<TestContext, 'onTestFinished'>

/**
 * Starts jobs, and closes them when the test ends. The schedule is checked every half second, so that a test does not
 * wait for the default interval of three seconds.
 */
export async function startJobs(
  { onTestFinished }: Context,
  options: Omit<JobsOptions, 'log'> & { log?: Logger },
): Promise<Jobs> {
  const jobs = await createJobs({ log: createTestLog().log, watchIntervalMs: 500, ...options })
  onTestFinished(() => jobs.close())
  return jobs
}

/** Waits until `count` more runs of the job have started. */
export async function waitForStarts(job: TestJob, count = 2): Promise<void> {
  const minStarts = job.startedAt.length + count
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

/** Returns a unique prefix of queue keys. With this prefix, a test has its own queue. */
export function uniquePrefix(): string {
  return `test-${randomUUID()}`
}

/** Fails the test file if a test prints to the console. */
export function forbidConsole(): void {
  const printToConsole = vi.fn()
  beforeAll(() => {
    for (const method of ['log', 'info', 'warn', 'error'] as const) {
      vi.spyOn(console, method).mockImplementation(printToConsole)
    }
  })
  afterAll(() => {
    vi.restoreAllMocks()
    expect(printToConsole.mock.calls).toEqual([])
  })
}
