import type { Logger } from 'pino'
import { createFailureTracker, type FailureTracker } from '../async/failure-tracker.js'
import { hasCode } from '../errors.js'
import { runWatched } from './run-watched.js'
import type { ScheduledJob } from './scheduled-job.js'

/** Runs jobs by name, each at most once at a time. */
export interface Runner {
  /** Number of jobs. */
  readonly size: number
  /** Runs the job with this name, unless it already runs. Never rejects. Logs a repeated failure only once. */
  run(name: string): Promise<void>
  /** Waits for the runs in progress, except for abandoned runs. */
  idle(): Promise<void>
}

/** Options of a runner. */
export interface RunnerOptions {
  jobs: ScheduledJob[]
  /** Called for each failed run. */
  onFailure?: (job: string, error: unknown) => void
  log: Logger
}

/** Creates a runner that starts no job after `signal` has aborted. */
export function createRunner(options: RunnerOptions, signal: AbortSignal): Runner {
  const { jobs, log } = options
  const byName = new Map(
    jobs.map((job) => [job.name, { job, tracker: createJobTracker(job.name, options) }]),
  )
  const running = new Map<string, Promise<void>>()

  async function execute(job: ScheduledJob, tracker: FailureTracker): Promise<void> {
    try {
      const outcome = await runWatched(job, signal)
      // A skipped or aborted run does not prove that the job works.
      if (outcome !== 'skipped' && !signal.aborted) tracker.recordSuccess()
    } catch (err) {
      if (!signal.aborted || hasCode(err, 'ABANDONED')) tracker.recordFailure(err)
      else log.debug({ err, job: job.name }, 'job aborted')
    }
  }

  return {
    size: byName.size,
    async run(name) {
      const { job, tracker } = byName.get(name) ?? {}
      // Another version of last-logout can have scheduled a job with a name that this version does not know.
      if (!job || !tracker || running.has(name) || signal.aborted) return
      const run = execute(job, tracker)
      running.set(name, run)
      await run
      running.delete(name)
    },
    async idle() {
      await Promise.all(running.values())
    },
  }
}

/** Creates a tracker for one job. For each error code, the tracker logs the first failure at the level `error`. */
function createJobTracker(
  job: string,
  { log, onFailure }: Pick<RunnerOptions, 'log' | 'onFailure'>,
): FailureTracker {
  return createFailureTracker({
    onFailure(err, isFirst) {
      log[isFirst ? 'error' : 'debug']({ err, job }, 'job failed')
      onFailure?.(job, err)
    },
    onRecovery: (failingMs) => log.info({ job, failingMs }, 'job recovered'),
    kindOf: (error) => Object(error).code,
  })
}
