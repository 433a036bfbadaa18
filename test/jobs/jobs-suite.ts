import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, test } from 'vitest'
import { readSchedule } from '../../src/jobs/read-schedule.js'
import { WAIT } from '../_support/wait.js'
import {
  type Context,
  createTestJob,
  createTestLog,
  forbidConsole,
  ONE_HOUR_MS,
  startJobs,
  type TestJob,
  uniquePrefix,
  waitForStarts,
} from './fixture.js'
import type { TestStore } from './stores.js'

/** Defines the tests of jobs on one server, and stops the server after the tests. */
export function describeJobs(store: TestStore): void {
  afterAll(() => store.stop())
  forbidConsole()

  describe.skipIf(store.skip)(`jobs on ${store.name}`, { concurrent: true }, () => {
    /** Opens a queue for one test. `start` starts jobs on this queue. */
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

    // This test counts the sockets of the process, so it must run alone and first.
    test('jobs leave no connection open after they are closed', {
      concurrent: false,
    }, async (context) => {
      const { expect } = context
      const { queue, start } = openQueue(context)
      const countSockets = (): number =>
        process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length
      await queue.getJobCounts()
      const socketsBefore = countSockets()
      const job = createTestJob(100)
      const jobs = await start([job])
      await waitForStarts(job)
      expect(countSockets()).toBeGreaterThan(socketsBefore)
      await jobs.close()
      await expect.poll(countSockets, WAIT).toBeLessThanOrEqual(socketsBefore)
    })

    test('jobs run at once, and then at their interval', async (context) => {
      const { expect } = context
      const { start } = openQueue(context)
      const job = createTestJob(200)
      const createdAt = Date.now()
      await start([job])
      await waitForStarts(job, 6)
      const [firstAt = 0] = job.startedAt
      const fiveIntervalsMs = (job.startedAt[5] ?? 0) - firstAt
      expect(firstAt - createdAt).toBeLessThan(2_000)
      expect(fiveIntervalsMs).toBeGreaterThan(800)
      expect(fiveIntervalsMs).toBeLessThan(3_000)
    })

    test('readSchedule returns the interval and the next run of each job, and nothing before a worker has started', async (context) => {
      const { expect } = context
      const { prefix, start } = openQueue(context)
      expect(await readSchedule(store.connection, prefix)).toEqual([])
      const [frequentJob, rareJob] = [
        createTestJob(4_000),
        createTestJob(ONE_HOUR_MS, undefined, 'rare'),
      ]
      await start([frequentJob, rareJob])
      await waitForStarts(rareJob, 1)
      const schedule = await readSchedule(store.connection, prefix)
      expect(schedule.map(({ name, everyMs }) => [name, everyMs]).sort()).toEqual([
        ['rare', ONE_HOUR_MS],
        [frequentJob.name, 4_000],
      ])
      for (const { nextAt, everyMs } of schedule) {
        expect(nextAt).toBeGreaterThan(Date.now() - 60_000)
        expect(nextAt).toBeLessThanOrEqual(Date.now() + (everyMs ?? 0))
      }
    })

    test('jobs keep their schedule at a restart, and run at once if they became due meanwhile', async (context) => {
      const { expect } = context
      const { start } = openQueue(context)
      const [frequentJob, rareJob] = [
        createTestJob(4_000),
        createTestJob(ONE_HOUR_MS, undefined, 'rare'),
      ]
      const jobs = await start([frequentJob, rareJob])
      const countRuns = (job: { startedAt: number[] }) => job.startedAt.length
      await expect
        .poll(() => Math.min(countRuns(frequentJob), countRuns(rareJob)), WAIT)
        .toBeGreaterThan(0)
      await jobs.close()
      await sleep(4_300)
      const restartedAt = Date.now()
      await start([frequentJob, rareJob])
      await waitForStarts(frequentJob, 2)
      const [firstRunAt = 0] = frequentJob.startedAt.filter((at) => at >= restartedAt)
      expect(firstRunAt - restartedAt).toBeLessThan(3_300)
      expect(rareJob.startedAt).toHaveLength(1)
    })

    test('a restart applies a changed interval, and removes jobs that are no longer listed', async (context) => {
      const { expect } = context
      const { queue, start } = openQueue(context)
      const [slow, removed] = [
        createTestJob(ONE_HOUR_MS),
        createTestJob(ONE_HOUR_MS, undefined, 'removed'),
      ]
      const jobs = await start([slow, removed])
      await jobs.close()
      const fast = createTestJob(100)
      await start([fast])
      await waitForStarts(fast, 5)
      const schedulers = await queue.getJobSchedulers()
      expect(schedulers.map(({ key, every }) => ({ key, every }))).toEqual([
        { key: 'tick', every: 100 },
      ])
    })

    test('each scheduled run of a job is taken by one of two workers', async (context) => {
      const { expect } = context
      const { start } = openQueue(context)
      const everyMs = 200
      const job = createTestJob(everyMs)
      await start([job])
      await start([job])
      await waitForStarts(job)
      // 15 runs take 14 intervals, or fewer if the first run was late. If both workers ran each job, 15 runs would take
      // 7 intervals.
      expect(await measureRuns(job, 15)).toBeGreaterThan(11 * everyMs)
    })

    test('restarts and workers that start together do not duplicate the schedule (pitfall 15)', async (context) => {
      const { expect } = context
      const { queue, start } = openQueue(context)
      const everyMs = 200
      const job = createTestJob(everyMs)
      for (let n = 0; n < 3; n++) {
        const startedJobs = Array.from({ length: 2 }, () => start([job]))
        await waitForStarts(job)
        for (const jobs of await Promise.all(startedJobs)) await jobs.close()
      }
      await start([job])
      await waitForStarts(job)
      expect(await queue.getJobSchedulers()).toHaveLength(1)
      expect(await measureRuns(job, 10)).toBeGreaterThan(8 * everyMs)
      const { waiting = 0, delayed = 0 } = await queue.getJobCounts('waiting', 'delayed')
      expect(waiting + delayed).toBeLessThanOrEqual(2)
    })

    test('ten workers that start together schedule a job once, and log no warning (pitfall 15)', async (context) => {
      const { expect } = context
      const { queue, start } = openQueue(context)
      const job = createTestJob(200)
      const { log, lines } = createTestLog()
      await Promise.all(Array.from({ length: 10 }, () => start([job], log)))
      await waitForStarts(job)
      expect(await queue.getJobSchedulers()).toHaveLength(1)
      expect(await measureRuns(job, 20)).toBeGreaterThan(17 * 200)
      expect([...lines('warn'), ...lines('error')]).toEqual([])
    })

    test('runs of one job do not overlap if the job is queued several times in a second (pitfall 15)', async (context) => {
      const { expect } = context
      const { queue, start } = openQueue(context)
      let running = 0
      const concurrentRuns: number[] = []
      const job = createTestJob(300, async () => {
        concurrentRuns.push(++running)
        await sleep(50)
        running -= 1
      })
      const { log, lines } = createTestLog()
      await start([job], log)
      await waitForStarts(job)
      await Promise.all(Array.from({ length: 5 }, () => queue.add(job.name, {})))
      await waitForStarts(job, 5)
      expect(Math.max(...concurrentRuns)).toBe(1)
      expect(await queue.getJobSchedulers()).toHaveLength(1)
      expect([...lines('warn'), ...lines('error')]).toEqual([])
    })

    test('a job is scheduled again after its scheduler was deleted', async (context) => {
      const { queue, start } = openQueue(context)
      const job = createTestJob(100)
      await start([job])
      await waitForStarts(job)
      await queue.removeJobScheduler(job.name)
      await waitForStarts(job, 10)
    })

    test('jobs are scheduled again after all data of the queue was deleted', async (context) => {
      const { expect } = context
      const { prefix, start } = openQueue(context)
      const [job, rareJob] = [createTestJob(100), createTestJob(ONE_HOUR_MS, undefined, 'rare')]
      await start([job, rareJob])
      await waitForStarts(job)
      await store.wipe(prefix)
      await waitForStarts(job, 10)
      await expect.poll(() => rareJob.startedAt.length, WAIT).toBe(2)
    })

    test('a job runs again after a run has thrown or rejected', async (context) => {
      const { expect } = context
      const { start } = openQueue(context)
      const { log, lines } = createTestLog()
      const rejects = createTestJob(100, () => Promise.reject(new Error('refused')), 'rejects')
      const throws = createTestJob(100, () => {
        throw new Error('broken')
      })
      await start([rejects, throws], log)
      await Promise.all([waitForStarts(rejects, 4), waitForStarts(throws, 4)])
      expect(lines('error')).toContainEqual(
        expect.objectContaining({
          job: 'rejects',
          msg: 'job failed',
          err: expect.objectContaining({ message: 'refused' }),
        }),
      )
      expect(lines('warn')).toEqual([])
    })

    test('two runs of one job never overlap, but different jobs run at the same time', async (context) => {
      const { expect } = context
      const { queue, start } = openQueue(context)
      let endWork = (): void => undefined
      const workEnded = new Promise<void>((resolve) => {
        endWork = resolve
      })
      const long = createTestJob(100, () => workEnded, 'long')
      const short = createTestJob(100)
      await start([long, short])
      await waitForStarts(short, 10)
      expect(long.startedAt).toHaveLength(1)
      const { waiting = 0, delayed = 0 } = await queue.getJobCounts('waiting', 'delayed')
      expect(waiting + delayed).toBeLessThanOrEqual(2)
      endWork()
      await waitForStarts(short, 5)
      expect(long.startedAt.length).toBeLessThan(10)
    })

    test('the queue keeps no record of a completed or failed run', async (context) => {
      const { expect } = context
      const { queue, start } = openQueue(context)
      const failing = createTestJob(100, () => Promise.reject(new Error('refused')), 'failing')
      const job = createTestJob(100)
      const jobs = await start([job, failing])
      await Promise.all([waitForStarts(job, 5), waitForStarts(failing, 5)])
      await jobs.close()
      expect(await queue.getJobCounts()).toMatchObject({ active: 0, completed: 0, failed: 0 })
    })

    test('close aborts running jobs, and waits for their end', async (context) => {
      const { expect } = context
      const { queue, start } = openQueue(context)
      let workEnded = false
      const job = createTestJob(ONE_HOUR_MS, async (signal) => {
        await once(signal, 'abort')
        await sleep(300)
        workEnded = true
      })
      const jobs = await start([job])
      await expect.poll(() => job.startedAt.length, WAIT).toBe(1)
      await Promise.all([jobs.close(), jobs.close()])
      expect(workEnded).toBe(true)
      expect(await queue.getJobCounts('active')).toEqual({ active: 0 })
    })

    test('no job starts after close was called', async (context) => {
      const { expect } = context
      const { queue, start } = openQueue(context)
      let endWork = (): void => undefined
      const workEnded = new Promise<void>((resolve) => {
        endWork = resolve
      })
      const [job, slow] = [createTestJob(50), createTestJob(ONE_HOUR_MS, () => workEnded, 'slow')]
      const jobs = await start([job, slow])
      await Promise.all([waitForStarts(job), waitForStarts(slow, 1 - slow.startedAt.length)])
      const whenClosed = jobs.close()
      const startsBeforeClose = job.startedAt.length
      const isOverdue = async () => {
        const schedulers = await queue.getJobSchedulers()
        const nextRunAt = schedulers.find(({ key }) => key === job.name)?.next
        return Number(nextRunAt) < Date.now() - 4 * job.everyMs
      }
      await expect.poll(isOverdue, WAIT).toBe(true)
      endWork()
      await whenClosed
      expect(job.startedAt).toHaveLength(startsBeforeClose)
    })
  })
}

/**
 * Waits for `count` further runs of a job. Returns the time from the first to the last of these runs, in milliseconds.
 */
async function measureRuns(job: TestJob, count: number): Promise<number> {
  const startsBefore = job.startedAt.length
  await waitForStarts(job, count)
  const starts = job.startedAt.slice(startsBefore, startsBefore + count)
  return (starts.at(-1) ?? 0) - (starts[0] ?? 0)
}
