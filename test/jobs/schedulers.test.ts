import { afterAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { registerSchedulers, restoreSchedulers } from '../../src/jobs/schedulers.js'
import { createTestJob, ONE_HOUR_MS, uniquePrefix } from './fixture.js'
import { startStores, type TestQueue } from './stores.js'

// A scheduler is BullMQ's record of a job in the schedule: its interval and its next run. Without a worker, no job
// runs, so a run that is due stays in the queue.
const stores = await startStores()
afterAll(() => Promise.all(stores.map((store) => store.stop())))

for (const store of stores) {
  describe.skipIf(store.skip)(`schedulers on ${store.name}, without a worker`, () => {
    const job = createTestJob(ONE_HOUR_MS)
    /** Returns a time at which a job that is due now counts as overdue. */
    const oneMinuteAhead = (): number => Date.now() + 60_000
    let prefix: string
    let queue: TestQueue

    beforeEach(() => {
      prefix = uniquePrefix()
      queue = store.openQueue(prefix)
      onTestFinished(async () => {
        await store.wipe(prefix)
        await queue.close()
      })
    })

    async function readNextRunAt(): Promise<number> {
      const [scheduler] = await queue.getJobSchedulers()
      return Number(scheduler?.next)
    }

    /** Counts the runs that are due (`waiting`), and the runs that become due later (`delayed`). */
    function countPending(): Promise<Record<string, number>> {
      return queue.getJobCounts('waiting', 'delayed')
    }

    test('registerSchedulers makes a new job due', async () => {
      await registerSchedulers(queue, [job])
      expect(await readNextRunAt()).toBeLessThanOrEqual(Date.now())
      expect(await countPending()).toEqual({ waiting: 1, delayed: 0 })
    })

    test('registerSchedulers schedules each job once, even if ten workers register several times (pitfall 15)', async () => {
      const names = ['poll', 'reconcile', 'prune']
      const jobs = names.map((name) => createTestJob(ONE_HOUR_MS, { name }))
      await registerSchedulers(queue, jobs)
      const nextRunAt = await readNextRunAt()
      const queues = Array.from({ length: 10 }, () => store.openQueue(prefix))
      onTestFinished(async () => {
        await Promise.all(queues.map((each) => each.close()))
      })
      for (let attempt = 0; attempt < 5; attempt++) {
        await Promise.all(queues.map((each) => registerSchedulers(each, jobs)))
      }
      expect(await readNextRunAt()).toBe(nextRunAt)
      expect(await countPending()).toEqual({ waiting: 3, delayed: 0 })
    })

    test('restoreSchedulers makes a job due if its next run is too far ahead, because a clock was set back', async () => {
      await registerSchedulers(queue, [job])
      const nextRunAt = await readNextRunAt()
      await store.losePendingRuns(prefix)
      // This call schedules the next run, up to an hour ahead.
      await restoreSchedulers(queue, [job], oneMinuteAhead())
      expect(await readNextRunAt()).toBeGreaterThan(nextRunAt)
      const clockSetBack = Date.now() - 2 * ONE_HOUR_MS
      const check = await restoreSchedulers(queue, [job], clockSetBack)
      expect(check.wasOverdue).toBe(false)
      expect(await readNextRunAt()).toBeLessThanOrEqual(Date.now())
      expect(await countPending()).toEqual({ waiting: 1, delayed: 0 })
    })

    test('restoreSchedulers adds a missing scheduler, and does not change a correct scheduler', async () => {
      await registerSchedulers(queue, [job])
      const nextRunAt = await readNextRunAt()
      const missingJob = createTestJob(ONE_HOUR_MS, { name: 'missing' })
      // A job counts as overdue only after it has been due for more than five seconds.
      await restoreSchedulers(queue, [job, missingJob], nextRunAt + 5_000)
      const schedulers = await queue.getJobSchedulers()
      expect(new Map(schedulers.map((scheduler) => [scheduler.key, scheduler.next]))).toEqual(
        new Map([
          [job.name, nextRunAt],
          [missingJob.name, expect.any(Number)],
        ]),
      )
      expect(await countPending()).toEqual({ waiting: 2, delayed: 0 })
    })

    test('restoreSchedulers replaces a longer interval of another worker, and makes the job due', async () => {
      await registerSchedulers(queue, [job])
      await store.losePendingRuns(prefix)
      const ownJob = createTestJob(ONE_HOUR_MS / 2)
      const otherIntervals = [
        { job: job.name, everyMs: ownJob.everyMs, scheduledEveryMs: job.everyMs },
      ]
      expect(await restoreSchedulers(queue, [ownJob])).toMatchObject({ otherIntervals })
      expect(await queue.getJobSchedulers()).toMatchObject([{ every: ownJob.everyMs }])
      expect(await countPending()).toEqual({ waiting: 1, delayed: 0 })
      expect(await restoreSchedulers(queue, [ownJob])).toMatchObject({ otherIntervals: [] })
    })

    test('restoreSchedulers keeps a shorter interval of another worker, even if the job is overdue', async () => {
      await registerSchedulers(queue, [job])
      const nextRunAt = await readNextRunAt()
      const ownJob = createTestJob(2 * ONE_HOUR_MS)
      const otherIntervals = [
        { job: job.name, everyMs: ownJob.everyMs, scheduledEveryMs: job.everyMs },
      ]
      const check = await restoreSchedulers(queue, [ownJob], oneMinuteAhead())
      expect(check).toEqual({ wasOverdue: true, otherIntervals })
      expect(await queue.getJobSchedulers()).toMatchObject([
        { every: job.everyMs, next: nextRunAt },
      ])
    })

    test('restoreSchedulers does not change a due job, even if it is called several times', async () => {
      await registerSchedulers(queue, [job])
      const nextRunAt = await readNextRunAt()
      for (let attempt = 0; attempt < 3; attempt++) {
        await restoreSchedulers(queue, [job], oneMinuteAhead())
      }
      expect(await readNextRunAt()).toBe(nextRunAt)
      expect(await countPending()).toEqual({ waiting: 1, delayed: 0 })
    })

    test('restoreSchedulers schedules the next run of a job whose pending run was lost', async () => {
      await registerSchedulers(queue, [job])
      await store.losePendingRuns(prefix)
      await restoreSchedulers(queue, [job], oneMinuteAhead())
      expect(await countPending()).toEqual({ waiting: 0, delayed: 1 })
      const nextRunAt = await readNextRunAt()
      expect(nextRunAt).toBeGreaterThan(Date.now())
      // A second call changes nothing.
      await restoreSchedulers(queue, [job], oneMinuteAhead())
      expect(await readNextRunAt()).toBe(nextRunAt)
    })
  })
}
