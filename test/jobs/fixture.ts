import { randomUUID } from 'node:crypto'
import { type Level, type Logger, pino } from 'pino'
import { afterAll, beforeAll, expect, type TestContext, vi } from 'vitest'
import { createJobs, type Jobs, type JobsOptions, type ScheduledJob } from '../../src/jobs/jobs.js'
import { WAIT } from '../_support/wait.js'

/** A job that notes when it was started. */
export interface TestJob extends ScheduledJob {
  startedAt: number[]
}

/** A logger that keeps its lines. */
export interface TestLog {
  log: Logger
  /** The lines of one level. */
  lines(level: Level): Record<string, unknown>[]
  /** All lines as they would be written. */
  text(): string
}

/** Far longer than any test. */
export const NEVER_MS = 3_600_000

/** A job that does `work` every `everyMs`. */
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

/** How a test of its own is ended: tests of one file run at the same time. */
export type Context = Pick<TestContext, 'onTestFinished'>

/** Starts jobs that are closed when the test ends. */
export async function startJobs(
  { onTestFinished }: Context,
  options: Omit<JobsOptions, 'log'> & { log?: Logger },
): Promise<Jobs> {
  const jobs = await createJobs({ log: createTestLog().log, watchIntervalMs: 500, ...options })
  onTestFinished(() => jobs.close())
  return jobs
}

/** Resolves when `job` has been started `times` more times. */
export async function startsAgain(job: TestJob, times = 2): Promise<void> {
  const atLeast = job.startedAt.length + times
  await vi.waitFor(() => expect(job.startedAt.length).toBeGreaterThanOrEqual(atLeast), WAIT)
}

/** A logger to look into. */
export function createTestLog(): TestLog {
  const written: string[] = []
  const parsed = () => written.map((line) => JSON.parse(line) as Record<string, unknown>)
  return {
    log: pino({ level: 'trace' }, { write: (line: string) => written.push(line) }),
    lines: (level) => parsed().filter((line) => line.level === pino.levels.values[level]),
    text: () => written.join(''),
  }
}

/** A name that no other queue has. */
export function uniquePrefix(): string {
  return `test-${randomUUID()}`
}

/** Makes a file fail in which something is printed past the log. */
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
