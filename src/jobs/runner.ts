import type { Logger } from 'pino'

/** A function to be run at a fixed interval. */
export interface ScheduledJob {
  /** Unique among the jobs. */
  name: string
  everyMs: number
  /** `signal` aborts when the jobs are being closed; the run is waited for nevertheless. */
  run(signal: AbortSignal): Promise<void>
}

/** Runs jobs by name, each one at most once at a time. */
export interface Runner {
  /** How many names there are. */
  readonly size: number
  /** Never rejects: a job that throws is logged. */
  run(name: string): Promise<void>
  /** Resolves when nothing is running. */
  idle(): Promise<void>
}

/** A runner of `jobs` that starts nothing once `signal` has aborted. */
export function createRunner(jobs: ScheduledJob[], signal: AbortSignal, log: Logger): Runner {
  const byName = new Map(jobs.map((job) => [job.name, job]))
  const running = new Map<string, Promise<void>>()

  async function execute(job: ScheduledJob): Promise<void> {
    try {
      await job.run(signal)
    } catch (err) {
      const level = signal.aborted ? 'debug' : 'error'
      log[level]({ err, job: job.name }, 'job failed')
    }
  }

  return {
    size: byName.size,
    async run(name) {
      const job = byName.get(name)
      // The name may be another version's; and a run that outlasts its interval uses up the slots
      // that come due meanwhile.
      if (!job || running.has(name) || signal.aborted) return
      const run = execute(job)
      running.set(name, run)
      await run
      running.delete(name)
    },
    async idle() {
      await Promise.all(running.values())
    },
  }
}
