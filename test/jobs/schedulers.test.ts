import { afterAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { registerSchedulers, restoreSchedulers } from '../../src/jobs/schedulers.js'
import { createTestJob, ONE_HOUR_MS, uniquePrefix } from './fixture.js'
import { startStores, type TestQueue } from './stores.js'

const stores = await startStores()
afterAll(() => Promise.all(stores.map((store) => store.stop())))

for (const store of stores) {
  describe.skipIf(store.skip)(`schedulers on ${store.name}, without a worker`, () => {
    const job = createTestJob(ONE_HOUR_MS)
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

    function countPending(): Promise<Record<string, number>> {
      return queue.getJobCounts('waiting', 'delayed')
    }

    test('registerSchedulers makes every job due', async () => {
      await registerSchedulers(queue, [job])
      expect(await readNextRunAt()).toBeLessThanOrEqual(Date.now())
      expect(await countPending()).toEqual({ waiting: 1, delayed: 0 })
    })

    test('registerSchedulers schedules each job once, even if ten workers register several times (pitfall 15)', async () => {
      const names = ['poll', 'reconcile', 'prune']
      const jobs = names.map((name) => createTestJob(ONE_HOUR_MS, undefined, name))
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

    test('restoreSchedulers makes a job due if its next run is too far ahead, because a clock was wrong', async () => {
      await registerSchedulers(queue, [job])
      const nextRunAt = await readNextRunAt()
      await store.losePendingRuns(prefix)
      await restoreSchedulers(queue, [job], oneMinuteAhead())
      expect(await readNextRunAt()).toBeGreaterThan(nextRunAt)
      const hoursAgo = Date.now() - 2 * ONE_HOUR_MS
      expect(await restoreSchedulers(queue, [job], hoursAgo)).toBe(false)
      expect(await readNextRunAt()).toBeLessThanOrEqual(Date.now())
      expect(await countPending()).toEqual({ waiting: 1, delayed: 0 })
    })

    test('restoreSchedulers adds a missing scheduler, and does not change a correct scheduler', async () => {
      await registerSchedulers(queue, [job])
      const nextRunAt = await readNextRunAt()
      const missing = createTestJob(ONE_HOUR_MS, undefined, 'missing')
      await restoreSchedulers(queue, [job, missing], nextRunAt + 5_000)
      const schedulers = await queue.getJobSchedulers()
      expect(new Map(schedulers.map((scheduler) => [scheduler.key, scheduler.next]))).toEqual(
        new Map([
          [job.name, nextRunAt],
          [missing.name, expect.any(Number)],
        ]),
      )
      expect(await countPending()).toEqual({ waiting: 2, delayed: 0 })
    })

    test('restoreSchedulers does not change a due job, even if it is called several times', async () => {
      await registerSchedulers(queue, [job])
      const nextRunAt = await readNextRunAt()
      for (let attempt = 0; attempt < 3; attempt += 1)
        await restoreSchedulers(queue, [job], oneMinuteAhead())
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
      await restoreSchedulers(queue, [job], oneMinuteAhead())
      expect(await readNextRunAt()).toBe(nextRunAt)
    })
  })
}
