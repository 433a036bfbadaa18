import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, test } from 'vitest'
import { WAIT } from '../_support/wait.js'
import {
  type Context,
  createTestJob,
  createTestLog,
  forbidConsole,
  NEVER_MS,
  startJobs,
  startsAgain,
  type TestJob,
  uniquePrefix,
} from './fixture.js'
import type { TestStore } from './stores.js'

/** Defines what holds for jobs on any store, and stops the store after it. */
export function describeJobs(store: TestStore): void {
  afterAll(() => store.stop())
  forbidConsole()

  describe.skipIf(store.skip)(`jobs on ${store.name}`, { concurrent: true }, () => {
    /** A queue that no other test has; `start` runs jobs on it. */
    function openQueue(context: Context) {
      const { connection } = store
      const prefix = uniquePrefix()
      const queue = store.openQueue(prefix)
      context.onTestFinished(async () => {
        await store.wipe(prefix)
        await queue.close()
      })
      const start = (jobs: TestJob[], log = createTestLog().log) =>
        startJobs(context, { connection, prefix, jobs, log })
      return { prefix, queue, start }
    }

    // It counts the sockets of this process: alone, and before the others have opened any.
    test('leave no connection open after closing', { concurrent: false }, async (context) => {
      const { expect } = context
      const { queue, start } = openQueue(context)
      const countSockets = (): number =>
        process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length
      await queue.getJobCounts()
      const before = countSockets()
      const job = createTestJob(100)
      const jobs = await start([job])
      await startsAgain(job)
      expect(countSockets()).toBeGreaterThan(before)
      await jobs.close()
      await expect.poll(countSockets, WAIT).toBeLessThanOrEqual(before)
    })

    test('run at once, then at their interval', async (context) => {
      const { expect } = context
      const { start } = openQueue(context)
      const job = createTestJob(200)
      const createdAt = Date.now()
      await start([job])
      await startsAgain(job, 6)
      const [first = 0, ...later] = job.startedAt
      expect(first - createdAt).toBeLessThan(2_000)
      expect((later[4] ?? 0) - first).toBeGreaterThan(800)
      expect((later[4] ?? 0) - first).toBeLessThan(3_000)
    })

    test('keep their rhythm across a restart, and run at once if they became due meanwhile', async (context) => {
      const { expect } = context
      const { start } = openQueue(context)
      const [often, rare] = [createTestJob(4_000), createTestJob(NEVER_MS, undefined, 'rare')]
      const before = await start([often, rare])
      const runs = (job: { startedAt: number[] }) => job.startedAt.length
      await expect.poll(() => Math.min(runs(often), runs(rare)), WAIT).toBeGreaterThan(0)
      await before.close()
      await sleep(4_300)
      const startedAt = Date.now()
      await start([often, rare])
      await startsAgain(often, 2)
      const [first = 0] = often.startedAt.filter((at) => at >= startedAt)
      expect(first - startedAt).toBeLessThan(3_300)
      expect(rare.startedAt).toHaveLength(1)
    })

    test('use a changed interval and a changed list from the next start on', async (context) => {
      const { expect } = context
      const { queue, start } = openQueue(context)
      const [slow, gone] = [createTestJob(NEVER_MS), createTestJob(NEVER_MS, undefined, 'gone')]
      const before = await start([slow, gone])
      await before.close()
      const fast = createTestJob(100)
      await start([fast])
      await startsAgain(fast, 5)
      const schedulers = await queue.getJobSchedulers()
      expect(schedulers.map(({ key, every }) => ({ key, every }))).toEqual([
        { key: 'tick', every: 100 },
      ])
    })

    test('share each run between two workers', async (context) => {
      const { expect } = context
      const { start } = openQueue(context)
      const everyMs = 200
      const job = createTestJob(everyMs)
      await start([job])
      await start([job])
      await startsAgain(job)
      const from = job.startedAt.length
      await startsAgain(job, 15)
      const [first = 0, ...others] = job.startedAt.slice(from, from + 15)
      // 14 intervals, of which a late first run takes some; two runs per interval would take 7.
      expect((others.at(-1) ?? 0) - first).toBeGreaterThan(11 * everyMs)
    })

    test('are not duplicated by restarts or by workers that start together (P15)', async (context) => {
      const { expect } = context
      const { queue, start } = openQueue(context)
      const everyMs = 200
      const job = createTestJob(everyMs)
      for (let n = 0; n < 3; n++) {
        const started = Array.from({ length: 2 }, () => start([job]))
        await startsAgain(job)
        for (const jobs of await Promise.all(started)) await jobs.close()
      }
      await start([job])
      await startsAgain(job)
      expect(await queue.getJobSchedulers()).toHaveLength(1)
      const from = job.startedAt.length
      await startsAgain(job, 10)
      const [first = 0, ...others] = job.startedAt.slice(from, from + 10)
      expect((others.at(-1) ?? 0) - first).toBeGreaterThan(8 * everyMs)
      const { waiting = 0, delayed = 0 } = await queue.getJobCounts('waiting', 'delayed')
      expect(waiting + delayed).toBeLessThanOrEqual(2)
    })

    test('are scheduled by ten workers that start together, without logging a warning (P15)', async (context) => {
      const { expect } = context
      const { queue, start } = openQueue(context)
      const job = createTestJob(200)
      const { log, lines } = createTestLog()
      await Promise.all(Array.from({ length: 10 }, () => start([job], log)))
      await startsAgain(job)
      expect(await queue.getJobSchedulers()).toHaveLength(1)
      const from = job.startedAt.length
      await startsAgain(job, 20)
      const [first = 0, ...others] = job.startedAt.slice(from, from + 20)
      expect((others.at(-1) ?? 0) - first).toBeGreaterThan(17 * 200)
      expect([...lines('warn'), ...lines('error')]).toEqual([])
    })

    test('run once at a time when they are queued several times in a second (P15)', async (context) => {
      const { expect } = context
      const { queue, start } = openQueue(context)
      let running = 0
      const atOnce: number[] = []
      const job = createTestJob(300, async () => {
        atOnce.push(++running)
        await sleep(50)
        running -= 1
      })
      const { log, lines } = createTestLog()
      await start([job], log)
      await startsAgain(job)
      await Promise.all(Array.from({ length: 5 }, () => queue.add(job.name, {})))
      await startsAgain(job, 5)
      expect(Math.max(...atOnce)).toBe(1)
      expect(await queue.getJobSchedulers()).toHaveLength(1)
      expect([...lines('warn'), ...lines('error')]).toEqual([])
    })

    test('are scheduled again after a scheduler was deleted', async (context) => {
      const { queue, start } = openQueue(context)
      const job = createTestJob(100)
      await start([job])
      await startsAgain(job)
      await queue.removeJobScheduler(job.name)
      await startsAgain(job, 10)
    })

    test('are scheduled again after all stored data was deleted', async (context) => {
      const { expect } = context
      const { prefix, start } = openQueue(context)
      const [job, rare] = [createTestJob(100), createTestJob(NEVER_MS, undefined, 'rare')]
      await start([job, rare])
      await startsAgain(job)
      await store.wipe(prefix)
      await startsAgain(job, 10)
      await expect.poll(() => rare.startedAt.length, WAIT).toBe(2)
    })

    test('continue after one of them throws', async (context) => {
      const { expect } = context
      const { start } = openQueue(context)
      const { log, lines } = createTestLog()
      const rejects = createTestJob(100, () => Promise.reject(new Error('refused')), 'rejects')
      const throws = createTestJob(100, () => {
        throw new Error('broken')
      })
      await start([rejects, throws], log)
      await Promise.all([startsAgain(rejects, 4), startsAgain(throws, 4)])
      expect(lines('error')).toContainEqual(
        expect.objectContaining({
          job: 'rejects',
          msg: 'job failed',
          err: expect.objectContaining({ message: 'refused' }),
        }),
      )
      expect(lines('warn')).toEqual([])
    })

    test('never overlap with themselves, but run beside each other', async (context) => {
      const { expect } = context
      const { queue, start } = openQueue(context)
      let end = (): void => undefined
      const ended = new Promise<void>((resolve) => {
        end = resolve
      })
      const long = createTestJob(100, () => ended, 'long')
      const short = createTestJob(100)
      await start([long, short])
      await startsAgain(short, 10)
      expect(long.startedAt).toHaveLength(1)
      const { waiting = 0, delayed = 0 } = await queue.getJobCounts('waiting', 'delayed')
      expect(waiting + delayed).toBeLessThanOrEqual(2)
      end()
      await startsAgain(short, 5)
      expect(long.startedAt.length).toBeLessThan(10)
    })

    test('leave no record in the queue when they finish', async (context) => {
      const { expect } = context
      const { queue, start } = openQueue(context)
      const failing = createTestJob(100, () => Promise.reject(new Error('refused')), 'failing')
      const job = createTestJob(100)
      const jobs = await start([job, failing])
      await Promise.all([startsAgain(job, 5), startsAgain(failing, 5)])
      await jobs.close()
      expect(await queue.getJobCounts()).toMatchObject({ active: 0, completed: 0, failed: 0 })
    })

    test('are aborted and awaited when closing', async (context) => {
      const { expect } = context
      const { queue, start } = openQueue(context)
      let ended = false
      const job = createTestJob(NEVER_MS, async (signal) => {
        await once(signal, 'abort')
        await sleep(300)
        ended = true
      })
      const jobs = await start([job])
      await expect.poll(() => job.startedAt.length, WAIT).toBe(1)
      await Promise.all([jobs.close(), jobs.close()])
      expect(ended).toBe(true)
      expect(await queue.getJobCounts('active')).toEqual({ active: 0 })
    })

    test('are not started once closing has begun', async (context) => {
      const { expect } = context
      const { queue, start } = openQueue(context)
      let end = (): void => undefined
      const ended = new Promise<void>((resolve) => {
        end = resolve
      })
      const [job, slow] = [createTestJob(50), createTestJob(NEVER_MS, () => ended, 'slow')]
      const jobs = await start([job, slow])
      await Promise.all([startsAgain(job), startsAgain(slow, 1 - slow.startedAt.length)])
      const closed = jobs.close()
      const { length } = job.startedAt
      const isOverdue = async () => {
        const schedulers = await queue.getJobSchedulers()
        const next = schedulers.find(({ key }) => key === job.name)?.next
        return Number(next) < Date.now() - 4 * job.everyMs
      }
      await expect.poll(isOverdue, WAIT).toBe(true)
      end()
      await closed
      expect(job.startedAt).toHaveLength(length)
    })
  })
}
