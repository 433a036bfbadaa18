import { afterAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { registerSchedulers, restoreSchedulers } from '../../src/jobs/schedulers.js'
import { createTestJob, NEVER_MS, uniquePrefix } from './fixture.js'
import { startStores, type TestQueue } from './stores.js'

const stores = await startStores()
afterAll(() => Promise.all(stores.map((store) => store.stop())))

for (const store of stores) {
  describe.skipIf(store.skip)(`schedulers on ${store.name}, without a worker`, () => {
    const job = createTestJob(NEVER_MS)
    const inAMinute = (): number => Date.now() + 60_000
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

    async function readNext(): Promise<number> {
      const [scheduler] = await queue.getJobSchedulers()
      return Number(scheduler?.next)
    }

    function countPending(): Promise<Record<string, number>> {
      return queue.getJobCounts('waiting', 'delayed')
    }

    test('make every job due when registered', async () => {
      await registerSchedulers(queue, [job])
      expect(await readNext()).toBeLessThanOrEqual(Date.now())
      expect(await countPending()).toEqual({ waiting: 1, delayed: 0 })
    })

    test('schedule each job once, even if ten workers start together, twice (P15)', async () => {
      const names = ['poll', 'reconcile', 'prune']
      const jobs = names.map((name) => createTestJob(NEVER_MS, undefined, name))
      await registerSchedulers(queue, jobs)
      const next = await readNext()
      const queues = Array.from({ length: 10 }, () => store.openQueue(prefix))
      onTestFinished(async () => void (await Promise.all(queues.map((each) => each.close()))))
      for (let time = 0; time < 5; time++) {
        await Promise.all(queues.map((each) => registerSchedulers(each, jobs)))
      }
      expect(await readNext()).toBe(next)
      expect(await countPending()).toEqual({ waiting: 3, delayed: 0 })
    })

    test('make a job due whose next run a wrong clock has scheduled too far ahead', async () => {
      await registerSchedulers(queue, [job])
      const next = await readNext()
      await store.lose(prefix)
      await restoreSchedulers(queue, [job], inAMinute())
      expect(await readNext()).toBeGreaterThan(next)
      const hoursAgo = Date.now() - 2 * NEVER_MS
      expect(await restoreSchedulers(queue, [job], hoursAgo)).toBe(false)
      expect(await readNext()).toBeLessThanOrEqual(Date.now())
      expect(await countPending()).toEqual({ waiting: 1, delayed: 0 })
    })

    test('do not change a correct schedule, and add a missing one', async () => {
      await registerSchedulers(queue, [job])
      const next = await readNext()
      const missing = createTestJob(NEVER_MS, undefined, 'missing')
      await restoreSchedulers(queue, [job, missing], next + 5_000)
      const schedulers = await queue.getJobSchedulers()
      expect(new Map(schedulers.map((scheduler) => [scheduler.key, scheduler.next]))).toEqual(
        new Map([
          [job.name, next],
          [missing.name, expect.any(Number)],
        ]),
      )
      expect(await countPending()).toEqual({ waiting: 2, delayed: 0 })
    })

    test('keep a due job due after any number of restores', async () => {
      await registerSchedulers(queue, [job])
      const next = await readNext()
      for (let time = 0; time < 3; time += 1) await restoreSchedulers(queue, [job], inAMinute())
      expect(await readNext()).toBe(next)
      expect(await countPending()).toEqual({ waiting: 1, delayed: 0 })
    })

    test('schedule the next run of a job whose pending run was lost', async () => {
      await registerSchedulers(queue, [job])
      await store.lose(prefix)
      await restoreSchedulers(queue, [job], inAMinute())
      expect(await countPending()).toEqual({ waiting: 0, delayed: 1 })
      const next = await readNext()
      expect(next).toBeGreaterThan(Date.now())
      await restoreSchedulers(queue, [job], inAMinute())
      expect(await readNext()).toBe(next)
    })
  })
}
