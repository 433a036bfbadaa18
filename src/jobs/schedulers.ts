import type { Queue } from 'bullmq'
import type { ScheduledJob } from './scheduled-job.js'

/** What of a BullMQ queue holds the schedule. */
export type SchedulerQueue = Pick<
  Queue,
  'getJobSchedulers' | 'removeJobScheduler' | 'upsertJobScheduler'
>

/** A healthy worker takes a due job at once. */
const OVERDUE_MS = 5_000

/** By how much the clocks of two workers may differ, in milliseconds. */
const CLOCK_SKEW_MS = 60_000

/**
 * Puts exactly `jobs` into the schedule. One that is in it at this interval keeps its rhythm: workers
 * that start together would get in each other's way on PostgreSQL, where BullMQ does not lock it.
 * Resolves as {@link restoreSchedulers}.
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
 * Schedules those of `jobs` again whose schedule is missing, stands still, because the entry of the
 * next run was lost, or is farther ahead than it can be, because a clock was set back; leaves the
 * others alone. Resolves to whether one stood still.
 */
export async function restoreSchedulers(
  queue: SchedulerQueue,
  jobs: ScheduledJob[],
  now = Date.now(),
): Promise<boolean> {
  const schedulers = new Map((await queue.getJobSchedulers()).map((each) => [each.key, each]))
  let hasStoodStill = false
  for (const job of jobs) {
    const { next = now, every = job.everyMs } = schedulers.get(job.name) ?? {}
    const isOverdue = next < now - OVERDUE_MS
    const isTooFarAhead = next > now + every + CLOCK_SKEW_MS
    if (isTooFarAhead) await queue.removeJobScheduler(job.name)
    if (isOverdue || isTooFarAhead || !schedulers.has(job.name)) await schedule(queue, job)
    hasStoodStill ||= isOverdue
  }
  return hasStoodStill
}

/**
 * Where the job is due already it stays so. Several workers may do this at the same time: on PostgreSQL
 * some are refused then, and for once there may be more runs than one.
 */
async function schedule(queue: SchedulerQueue, { name, everyMs }: ScheduledJob): Promise<void> {
  const opts = { removeOnComplete: true, removeOnFail: true }
  await queue.upsertJobScheduler(name, { every: everyMs }, { opts })
}
