import { Counter, Histogram, type Registry } from 'prom-client'
import { hasCode, LastLogoutError } from '../errors.js'
import { DURATION_BUCKETS } from './sync.js'

/**
 * Records runs of the worker's jobs. A poll reads new entries. A reconcile searches for entries that polls missed. The
 * lease is the exclusive right to poll.
 */
export interface JobMetrics {
  /**
   * Runs a poll or a reconcile, and records its outcome and duration. The duration of a reconcile includes its wait for
   * the lease.
   */
  timePoll<Outcome extends string>(task: string, poll: () => Promise<Outcome>): Promise<Outcome>
  /** Counts a run that failed or was abandoned, by error code. */
  onJobFailure(task: string, error: unknown): void
}

/*
 * The label with the name of a job is named `task`, because Prometheus itself uses the name `job`.
 */

/** The jobs that read the log. */
const READING_JOBS = ['poll', 'reconcile']
/** All jobs of a worker. */
const JOBS = [...READING_JOBS, 'prune']

/** Registers the metrics of the worker's jobs. */
export function createJobMetrics(registry: Registry): JobMetrics {
  return { timePoll: registerPolls(registry), onJobFailure: registerFailures(registry) }
}

function registerPolls(registry: Registry): JobMetrics['timePoll'] {
  const registers = [registry]
  const labelNames = ['task', 'outcome']
  const polls = new Counter({
    name: 'last_logout_polls_total',
    help: 'Runs of poll and reconcile, by outcome.',
    labelNames,
    registers,
  })
  for (const task of READING_JOBS) {
    for (const outcome of ['caught_up', 'lease_held', 'aborted', 'failed']) {
      polls.inc({ task, outcome }, 0)
    }
  }
  const duration = new Histogram({
    name: 'last_logout_poll_duration_seconds',
    help: 'Duration of a poll or reconcile, including the sweep of a first start. A reconcile includes the wait for another worker.',
    labelNames,
    buckets: DURATION_BUCKETS,
    registers,
  })

  return async (task, poll) => {
    const startedAt = performance.now()
    const record = (outcome: string) => {
      polls.inc({ task, outcome })
      duration.observe({ task, outcome }, (performance.now() - startedAt) / 1000)
    }
    try {
      const outcome = await poll()
      record(outcome)
      return outcome
    } catch (error) {
      record(hasCode(error, 'ABORTED') ? 'aborted' : 'failed')
      throw error
    }
  }
}

function registerFailures(registry: Registry): JobMetrics['onJobFailure'] {
  const failures = new Counter({
    name: 'last_logout_job_failures_total',
    help: 'Failed runs of a job, by error code.',
    labelNames: ['task', 'code'],
    registers: [registry],
  })
  // Alerts must fire at the first of these rare failures, but Prometheus detects an increase only in a series that
  // exists.
  for (const task of JOBS) {
    for (const code of ['STALLED', 'ABANDONED']) failures.inc({ task, code }, 0)
  }
  return (task, error) =>
    failures.inc({ task, code: error instanceof LastLogoutError ? error.code : 'UNEXPECTED' })
}
