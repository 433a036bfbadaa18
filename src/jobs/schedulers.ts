import type { Queue } from 'bullmq'
import type { ScheduledJob } from './runner.js'

/** What of a BullMQ queue holds the schedule. */
export type SchedulerQueue = Pick<
  Queue,
  'getJobSchedulers' | 'removeJobScheduler' | 'upsertJobScheduler'
>

/** A job that has been due for this long will not be taken: its entry in the queue is lost. */
const OVERDUE_MS = 10_000

/** Makes the schedule anew, so that exactly `jobs` are in it and each of them is due now. */
export async function registerSchedulers(
  queue: SchedulerQueue,
  jobs: ScheduledJob[],
): Promise<void> {
  for (const { key } of await queue.getJobSchedulers()) await queue.removeJobScheduler(key)
  for (const job of jobs) await schedule(queue, job)
}

/** Puts back those of `jobs` whose schedule is missing or stands still; the others are not touched. */
export async function restoreSchedulers(
  queue: SchedulerQueue,
  jobs: ScheduledJob[],
  now = Date.now(),
): Promise<void> {
  const schedulers = await queue.getJobSchedulers()
  const dueAt = new Map(schedulers.map(({ key, next }) => [key, next]))
  for (const job of jobs) {
    const next = dueAt.get(job.name)
    if (next === undefined || next < now - OVERDUE_MS) await schedule(queue, job)
  }
}

/** Where the job is due already it stays so; several workers may do this at the same time. */
async function schedule(queue: SchedulerQueue, { name, everyMs }: ScheduledJob): Promise<void> {
  const opts = { removeOnComplete: true, removeOnFail: true }
  await queue.upsertJobScheduler(name, { every: everyMs }, { opts })
}
