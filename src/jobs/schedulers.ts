import type { Queue } from 'bullmq'
import type { ScheduledJob } from './scheduled-job.js'

/** What of a BullMQ queue holds the schedule. */
export type SchedulerQueue = Pick<
  Queue,
  'getJobSchedulers' | 'removeJobScheduler' | 'upsertJobScheduler'
>

/** A healthy worker takes a due job at once. */
const OVERDUE_MS = 5_000

/** Makes the schedule anew, so that exactly `jobs` are in it and each of them is due now. */
export async function registerSchedulers(
  queue: SchedulerQueue,
  jobs: ScheduledJob[],
): Promise<void> {
  for (const { key } of await queue.getJobSchedulers()) await queue.removeJobScheduler(key)
  for (const job of jobs) await schedule(queue, job)
}

/**
 * Schedules those of `jobs` again whose schedule is missing or stands still, because the entry of
 * the next run was lost; leaves the others alone. Resolves to whether one stood still.
 */
export async function restoreSchedulers(
  queue: SchedulerQueue,
  jobs: ScheduledJob[],
  now = Date.now(),
): Promise<boolean> {
  const schedulers = await queue.getJobSchedulers()
  const dueAt = new Map(schedulers.map(({ key, next }) => [key, next]))
  const isOverdue = ({ name }: ScheduledJob) => (dueAt.get(name) ?? now) < now - OVERDUE_MS
  const overdue = jobs.filter(isOverdue)
  const missing = jobs.filter(({ name }) => !dueAt.has(name))
  for (const job of [...overdue, ...missing]) await schedule(queue, job)
  return overdue.length > 0
}

/** Where the job is due already it stays so; several workers may do this at the same time. */
async function schedule(queue: SchedulerQueue, { name, everyMs }: ScheduledJob): Promise<void> {
  const opts = { removeOnComplete: true, removeOnFail: true }
  await queue.upsertJobScheduler(name, { every: everyMs }, { opts })
}
