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

/**
 * Schedules `jobs`, and removes all other jobs from the schedule. Skips a job that is already scheduled at its
 * interval: on PostgreSQL, BullMQ takes no lock, so workers that start at the same time would conflict.
 *
 * @returns Whether a job was overdue.
 */
export async function registerSchedulers(
  queue: SchedulerQueue,
  jobs: ScheduledJob[],
  now = Date.now(),
): Promise<boolean> {
  const intervals = new Map(jobs.map(({ name, everyMs }) => [name, everyMs]))
  for (const { key, every } of await queue.getJobSchedulers()) {
    if (intervals.get(key) !== every) await queue.removeJobScheduler(key)
  }
  return restoreSchedulers(queue, jobs, now)
}

/**
 * Schedules a job again in three cases:
 *
 * - The job is not in the schedule.
 * - The job is overdue, because the queue has lost its next run.
 * - The next run is too far ahead, because a clock was set back.
 *
 * @returns Whether a job was overdue.
 */
export async function restoreSchedulers(
  queue: SchedulerQueue,
  jobs: ScheduledJob[],
  now = Date.now(),
): Promise<boolean> {
  const schedulers = new Map((await queue.getJobSchedulers()).map((each) => [each.key, each]))
  let wasOverdue = false
  for (const job of jobs) {
    const { next = now, every = job.everyMs } = schedulers.get(job.name) ?? {}
    const isOverdue = next < now - OVERDUE_MS
    const isTooFarAhead = next > now + every + MAX_CLOCK_SKEW_MS
    if (isTooFarAhead) await queue.removeJobScheduler(job.name)
    if (isOverdue || isTooFarAhead || !schedulers.has(job.name)) await schedule(queue, job)
    wasOverdue ||= isOverdue
  }
  return wasOverdue
}

/**
 * Schedules a job. A job that is already due stays due. On PostgreSQL, if several workers schedule one job at the same
 * time, some of the calls fail with a conflict, and the job can run more than once.
 */
async function schedule(queue: SchedulerQueue, { name, everyMs }: ScheduledJob): Promise<void> {
  const opts = { removeOnComplete: true, removeOnFail: true }
  await queue.upsertJobScheduler(name, { every: everyMs }, { opts })
}
