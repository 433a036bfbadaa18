import type { Queue } from 'bullmq'
import type { ScheduledJob } from './scheduled-job.js'

/** The part of a BullMQ queue that reads and changes the schedule. */
export type SchedulerQueue = Pick<
  Queue,
  'getJobSchedulers' | 'removeJobScheduler' | 'upsertJobScheduler'
>

/** A job is overdue if it has been due for longer than this time, in milliseconds. */
const OVERDUE_MS = 5_000

/** Maximum difference between the clocks of two workers that does not change the schedule, in milliseconds. */
const MAX_CLOCK_SKEW_MS = 60_000

/** A job that the schedule runs at the interval of another worker. */
export interface OtherInterval {
  job: string
  /** Interval of this worker, in milliseconds. */
  everyMs: number
  /** Interval in the schedule before the check, in milliseconds. */
  scheduledEveryMs: number
}

/** The result of a check of the schedule. */
export interface ScheduleCheck {
  /** Whether a job was overdue. */
  wasOverdue: boolean
  /** The jobs whose interval in the schedule was that of another worker. Empty when the jobs are registered. */
  otherIntervals: OtherInterval[]
}

/**
 * Schedules `jobs` at their intervals, and removes all other jobs from the schedule. Skips a job that is already
 * scheduled at its interval: on PostgreSQL, BullMQ takes no lock, so workers that start at the same time would conflict.
 */
export async function registerSchedulers(
  queue: SchedulerQueue,
  jobs: ScheduledJob[],
  now = Date.now(),
): Promise<ScheduleCheck> {
  const intervals = new Map(jobs.map(({ name, everyMs }) => [name, everyMs]))
  for (const { key, every } of await queue.getJobSchedulers()) {
    if (intervals.get(key) !== every) await queue.removeJobScheduler(key)
  }
  return restoreSchedulers(queue, jobs, now)
}

/**
 * Schedules a job again in four cases:
 *
 * - The job is not in the schedule.
 * - The job is overdue, because the queue has lost its next run.
 * - The next run is too far ahead, because a clock was set back.
 * - The interval in the schedule is longer than that of `jobs`, because another worker has registered it. A shorter
 *   interval stays: if each worker restored its own, workers with different intervals would replace each other's.
 */
export async function restoreSchedulers(
  queue: SchedulerQueue,
  jobs: ScheduledJob[],
  now = Date.now(),
): Promise<ScheduleCheck> {
  const schedulers = new Map((await queue.getJobSchedulers()).map((each) => [each.key, each]))
  const check: ScheduleCheck = { wasOverdue: false, otherIntervals: [] }
  for (const { name, everyMs } of jobs) {
    const { next = now, every = everyMs } = schedulers.get(name) ?? {}
    const isOverdue = next < now - OVERDUE_MS
    const mustReplace = next > now + every + MAX_CLOCK_SKEW_MS || every > everyMs
    if (mustReplace) await queue.removeJobScheduler(name)
    if (isOverdue || mustReplace || !schedulers.has(name))
      await schedule(queue, name, Math.min(every, everyMs))
    check.wasOverdue ||= isOverdue
    if (every !== everyMs)
      check.otherIntervals.push({ job: name, everyMs, scheduledEveryMs: every })
  }
  return check
}

/**
 * Schedules a job. A job that is already due stays due. On PostgreSQL, if several workers schedule one job at the same
 * time, some of the calls fail with a conflict, and the job can run more than once.
 */
async function schedule(queue: SchedulerQueue, name: string, everyMs: number): Promise<void> {
  const opts = { removeOnComplete: true, removeOnFail: true }
  await queue.upsertJobScheduler(name, { every: everyMs }, { opts })
}
