import type { Logger } from 'pino'
import { createFailureTracker, type FailureTracker } from '../async/failure-tracker.js'
import { hasCode } from '../errors.js'
import { runWatched } from './run-watched.js'
import type { ScheduledJob } from './scheduled-job.js'

/** Runs jobs by name, each one at most once at a time. */
export interface Runner {
  /** How many names there are. */
  readonly size: number
  /** Never rejects: a job that fails is logged, once until it works again. */
  run(name: string): Promise<void>
  /** Resolves when nothing is running, but for what was abandoned. */
  idle(): Promise<void>
}

/** What a runner is made of. */
export interface RunnerOptions {
  jobs: ScheduledJob[]
  /** Told of every run that failed. */
  onFailure?: (job: string, error: unknown) => void
  log: Logger
}

/** A runner of `jobs` that starts nothing once `signal` has aborted. */
export function createRunner(options: RunnerOptions, signal: AbortSignal): Runner {
  const { jobs, log } = options
  const byName = new Map(
    jobs.map((job) => [job.name, { job, trouble: createJobTrouble(job.name, options) }]),
  )
  const running = new Map<string, Promise<void>>()

  async function execute(job: ScheduledJob, trouble: FailureTracker): Promise<void> {
    try {
      const outcome = await runWatched(job, signal)
      // One that was stopped has not shown that it works.
      if (outcome !== 'skipped' && !signal.aborted) trouble.recordSuccess()
    } catch (err) {
      if (!signal.aborted || hasCode(err, 'ABANDONED')) trouble.recordFailure(err)
      else log.debug({ err, job: job.name }, 'job was stopped')
    }
  }

  return {
    size: byName.size,
    async run(name) {
      const known = byName.get(name)
      // The name may be another version's; and a run that outlasts its interval uses up the slots
      // that come due meanwhile.
      if (!known || running.has(name) || signal.aborted) return
      const run = execute(known.job, known.trouble)
      running.set(name, run)
      await run
      running.delete(name)
    },
    async idle() {
      await Promise.all(running.values())
    },
  }
}

/** Failures of one job: the first is told, and each that has another code. */
function createJobTrouble(
  job: string,
  { log, onFailure }: Pick<RunnerOptions, 'log' | 'onFailure'>,
): FailureTracker {
  return createFailureTracker({
    onFailure(err, isNew) {
      log[isNew ? 'error' : 'debug']({ err, job }, 'job failed')
      onFailure?.(job, err)
    },
    onRecovery: (lastedMs) => log.info({ job, lastedMs }, 'job works again'),
    kindOf: (error) => Object(error).code,
  })
}
