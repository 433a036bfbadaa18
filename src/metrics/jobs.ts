import { Counter, Histogram, type Registry } from 'prom-client'
import { hasCode, LastLogoutError } from '../errors.js'
import { DURATION_BUCKETS } from './reading.js'

/** What those who run the worker's jobs tell. */
export interface JobMetrics {
  /** Runs a poll, or a reconcile with its waiting for the lease, and notes what it came to. */
  timePoll<Outcome extends string>(task: string, poll: () => Promise<Outcome>): Promise<Outcome>
  /** A job has failed, be it that it was given up. */
  onJobFailure(task: string, error: unknown): void
}

/** `task`, since Prometheus gives every metric a label `job` of its own. */
const TASKS = ['poll', 'reconcile']

/** What polling and reconciling come to, as wholes. */
export function createJobMetrics(registry: Registry): JobMetrics {
  return { timePoll: timePolls(registry), onJobFailure: countFailures(registry) }
}

function timePolls(registry: Registry): JobMetrics['timePoll'] {
  const registers = [registry]
  const labelNames = ['task', 'outcome']
  const polls = new Counter({
    name: 'last_logout_polls_total',
    help: 'Polls and reconciles by what they came to.',
    labelNames,
    registers,
  })
  for (const task of TASKS) {
    for (const outcome of ['caught_up', 'lease_held', 'aborted', 'failed']) {
      polls.inc({ task, outcome }, 0)
    }
  }
  const duration = new Histogram({
    name: 'last_logout_poll_duration_seconds',
    help: 'How long a poll took: one catch-up, and at a first start the sweep; or a reconcile.',
    labelNames,
    buckets: DURATION_BUCKETS,
    registers,
  })

  return async (task, poll) => {
    const startedAt = performance.now()
    const note = (outcome: string) => {
      polls.inc({ task, outcome })
      duration.observe({ task, outcome }, (performance.now() - startedAt) / 1000)
    }
    try {
      const outcome = await poll()
      note(outcome)
      return outcome
    } catch (error) {
      note(hasCode(error, 'ABORTED') ? 'aborted' : 'failed')
      throw error
    }
  }
}

function countFailures(registry: Registry): JobMetrics['onJobFailure'] {
  const failures = new Counter({
    name: 'last_logout_job_failures_total',
    help: 'Runs of a job that failed, by the code of the error.',
    labelNames: ['task', 'code'],
    registers: [registry],
  })
  // Rare, and one is enough: Prometheus sees no rise in a series that begins with it.
  for (const task of TASKS) {
    for (const code of ['STALLED', 'ABANDONED']) failures.inc({ task, code }, 0)
  }
  return (task, error) =>
    failures.inc({ task, code: error instanceof LastLogoutError ? error.code : 'UNEXPECTED' })
}
