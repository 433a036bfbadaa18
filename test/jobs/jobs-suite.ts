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

/**
 * Defines the tests of scheduled jobs on one server, and stops the server after the tests. A job is a function that a
 * BullMQ worker runs at an interval. The server stores a scheduler for each job: its interval and its next run.
 */
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
      /** Returns the number of runs in the queue that have not started. */
      async function countPendingRuns(): Promise<number> {
        const { waiting = 0, delayed = 0 } = await queue.getJobCounts('waiting', 'delayed')
        return waiting + delayed
      }
      return { prefix, queue, start, countPendingRuns }
    }

    // This test counts the sockets of the process, so it runs alone, before all other tests.
    test('jobs leave no connection open after they are closed', {
      concurrent: false,
    }, async (context) => {
      const { expect } = context
      const { queue, start } = openQueue(context)
      const countSockets = (): number =>
        process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length
      // This call opens the connection of the test, so that `socketsBefore` includes its socket.
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
      const everyMs = 200
      const job = createTestJob(everyMs)
      const createdAt = Date.now()
      await start([job])
      await waitForStarts(job, 6)
      const [firstAt = 0, , , , , lastAt = 0] = job.startedAt
      expect(firstAt - createdAt).toBeLessThan(2_000)
      // The schedule begins after `createdAt`. A busy machine can delay each run, so the difference of two runs can be
      // shorter than their intervals.
      expect(lastAt - createdAt).toBeGreaterThanOrEqual(5 * everyMs)
      expect(lastAt - firstAt).toBeLessThan(15 * everyMs)
    })

    test('readSchedule returns the interval and the next run of each job, and nothing before a worker has started', async (context) => {
      const { expect } = context
      const { prefix, start } = openQueue(context)
      expect(await readSchedule(store.connection, prefix)).toEqual([])
      const frequentJob = createTestJob(4_000, { name: 'frequent' })
      const rareJob = createTestJob(ONE_HOUR_MS, { name: 'rare' })
      await start([frequentJob, rareJob])
      await waitForStarts(rareJob, 1)
      const schedule = await readSchedule(store.connection, prefix)
      expect(schedule.map(({ name, everyMs }) => [name, everyMs]).sort()).toEqual([
        ['frequent', 4_000],
        ['rare', ONE_HOUR_MS],
      ])
      for (const { nextAt, everyMs } of schedule) {
        // The next run can already be due, since less than a minute.
        expect(nextAt).toBeGreaterThan(Date.now() - 60_000)
        expect(nextAt).toBeLessThanOrEqual(Date.now() + (everyMs ?? 0))
      }
    })

    test('jobs keep their schedule at a restart, and run at once if they became due meanwhile', async (context) => {
      const { expect } = context
      const { start } = openQueue(context)
      // Longer than the restart takes on a busy machine.
      const everyMs = 8_000
      const frequentJob = createTestJob(everyMs, { name: 'frequent' })
      const rareJob = createTestJob(ONE_HOUR_MS, { name: 'rare' })
      const jobs = await start([frequentJob, rareJob])
      await expect.poll(() => frequentJob.startedAt.length, WAIT).toBeGreaterThan(0)
      await expect.poll(() => rareJob.startedAt.length, WAIT).toBeGreaterThan(0)
      await jobs.close()
      // After more than one interval, only the frequent job is due.
      const marginMs = 300
      await sleep(everyMs + marginMs)
      const restartedAt = Date.now()
      await start([frequentJob, rareJob])
      const findFirstRun = () => frequentJob.startedAt.find((at) => at >= restartedAt)
      await expect.poll(findFirstRun, WAIT).toBeDefined()
      const firstRunAt = findFirstRun() ?? Number.NaN
      // The run does not wait for the end of the current interval.
      expect(firstRunAt - restartedAt).toBeLessThan(everyMs - 2 * marginMs)
      expect(rareJob.startedAt).toHaveLength(1)
    })

    test('a restart applies a changed interval, and removes jobs that are no longer listed', async (context) => {
      const { expect } = context
      const { queue, start } = openQueue(context)
      const slowJob = createTestJob(ONE_HOUR_MS, { name: 'changed' })
      const removedJob = createTestJob(ONE_HOUR_MS, { name: 'removed' })
      const jobs = await start([slowJob, removedJob])
      await jobs.close()
      const fastJob = createTestJob(100, { name: 'changed' })
      await start([fastJob])
      await waitForStarts(fastJob, 5)
      const schedulers = await queue.getJobSchedulers()
      expect(schedulers.map(({ key, every }) => ({ key, every }))).toEqual([
        { key: 'changed', every: 100 },
      ])
    })

    test('if two workers have different intervals, the shorter one applies also after the other worker has stopped, and each logs one warning', async (context) => {
      const { expect } = context
      const { queue, start } = openQueue(context)
      const fast = createTestLog()
      const slow = createTestLog()
      const fastJob = createTestJob(200, { name: 'shared' })
      const slowJob = createTestJob(ONE_HOUR_MS, { name: 'shared' })
      await start([fastJob], fast.log)
      const slowJobs = await start([slowJob], slow.log)
      const message = 'interval differs between workers'
      await expect
        .poll(() => fast.lines('warn'), WAIT)
        .toMatchObject([
          { job: 'shared', everyMs: 200, scheduledEveryMs: ONE_HOUR_MS, msg: message },
        ])
      await expect
        .poll(() => slow.lines('warn'), WAIT)
        .toMatchObject([
          { job: 'shared', everyMs: ONE_HOUR_MS, scheduledEveryMs: 200, msg: message },
        ])
      await slowJobs.close()
      await waitForStarts(fastJob, 5)
      expect(await queue.getJobSchedulers()).toMatchObject([{ every: 200 }])
      expect([...fast.lines('warn'), ...slow.lines('warn')]).toHaveLength(2)
    })

    test('if two workers share a queue, only one of them executes each run of a job', async (context) => {
      const { expect } = context
      const { start } = openQueue(context)
      const everyMs = 200
      const job = createTestJob(everyMs)
      await start([job])
      await start([job])
      await waitForStarts(job)
      // 15 runs take 14 intervals, or fewer if the first run was late. If both workers executed each run, 15 runs would
      // take 7 intervals.
      expect(await measureRuns(job, 15)).toBeGreaterThan(11 * everyMs)
    })

    test('restarts and workers that start together do not duplicate the schedule (pitfall 15)', async (context) => {
      const { expect } = context
      const { queue, start, countPendingRuns } = openQueue(context)
      const everyMs = 200
      const job = createTestJob(everyMs)
      for (let restart = 0; restart < 3; restart++) {
        const startedJobs = Array.from({ length: 2 }, () => start([job]))
        await waitForStarts(job)
        for (const jobs of await Promise.all(startedJobs)) await jobs.close()
      }
      await start([job])
      await waitForStarts(job)
      expect(await queue.getJobSchedulers()).toHaveLength(1)
      // Ten runs take nine intervals, or fewer if the first run was late.
      expect(await measureRuns(job, 10)).toBeGreaterThan(8 * everyMs)
      // A run that is due and the next run can be pending.
      expect(await countPendingRuns()).toBeLessThanOrEqual(2)
    })

    test('ten workers that start together schedule a job once, and log no warning (pitfall 15)', async (context) => {
      const { expect } = context
      const { queue, start } = openQueue(context)
      const everyMs = 200
      const job = createTestJob(everyMs)
      const { log, lines } = createTestLog()
      await Promise.all(Array.from({ length: 10 }, () => start([job], log)))
      await waitForStarts(job)
      expect(await queue.getJobSchedulers()).toHaveLength(1)
      // 20 runs take 19 intervals, or fewer if the first run was late.
      expect(await measureRuns(job, 20)).toBeGreaterThan(17 * everyMs)
      expect([...lines('warn'), ...lines('error')]).toEqual([])
    })

    test('runs of one job do not overlap if the job is queued several times in a second (pitfall 15)', async (context) => {
      const { expect } = context
      const { queue, start } = openQueue(context)
      let activeRuns = 0
      let maxActiveRuns = 0
      const work = async () => {
        activeRuns += 1
        maxActiveRuns = Math.max(maxActiveRuns, activeRuns)
        // The run is long enough to overlap with a run that starts at the same time.
        await sleep(50)
        activeRuns -= 1
      }
      const job = createTestJob(300, { work })
      const { log, lines } = createTestLog()
      await start([job], log)
      await waitForStarts(job)
      await Promise.all(Array.from({ length: 5 }, () => queue.add(job.name, {})))
      await waitForStarts(job, 5)
      expect(maxActiveRuns).toBe(1)
      expect(await queue.getJobSchedulers()).toHaveLength(1)
      expect([...lines('warn'), ...lines('error')]).toEqual([])
    })

    test('a job is scheduled again after its scheduler was deleted', async (context) => {
      const { queue, start } = openQueue(context)
      const job = createTestJob(100)
      await start([job])
      await waitForStarts(job)
      await queue.removeJobScheduler(job.name)
      // Runs that were pending before can still start, but not ten of them.
      await waitForStarts(job, 10)
    })

    test('jobs are scheduled again after all data of the queue was deleted', async (context) => {
      const { expect } = context
      const { prefix, start } = openQueue(context)
      const frequentJob = createTestJob(100, { name: 'frequent' })
      const rareJob = createTestJob(ONE_HOUR_MS, { name: 'rare' })
      await start([frequentJob, rareJob])
      await waitForStarts(frequentJob)
      await store.wipe(prefix)
      await waitForStarts(frequentJob, 10)
      // A newly scheduled job runs at once, so the rare job runs a second time.
      await expect.poll(() => rareJob.startedAt.length, WAIT).toBe(2)
    })

    test('a job runs again after a run has thrown or rejected', async (context) => {
      const { expect } = context
      const { start } = openQueue(context)
      const { log, lines } = createTestLog()
      const rejectingJob = createTestJob(100, {
        name: 'rejecting',
        work: () => Promise.reject(new Error('refused')),
      })
      const throwingJob = createTestJob(100, {
        name: 'throwing',
        work: () => {
          throw new Error('broken')
        },
      })
      await start([rejectingJob, throwingJob], log)
      await Promise.all([waitForStarts(rejectingJob, 4), waitForStarts(throwingJob, 4)])
      expect(lines('error')).toContainEqual(
        expect.objectContaining({
          job: 'rejecting',
          msg: 'job failed',
          err: expect.objectContaining({ message: 'refused' }),
        }),
      )
      expect(lines('warn')).toEqual([])
    })

    test('two runs of one job never overlap, but different jobs run at the same time', async (context) => {
      const { expect } = context
      const { start, countPendingRuns } = openQueue(context)
      const { work, endWork } = createControlledWork()
      const longJob = createTestJob(100, { name: 'long', work })
      const shortJob = createTestJob(100, { name: 'short' })
      await start([longJob, shortJob])
      await waitForStarts(shortJob, 10)
      expect(longJob.startedAt).toHaveLength(1)
      // The next run of each job is pending, but no missed run of the long job.
      expect(await countPendingRuns()).toBeLessThanOrEqual(2)
      endWork()
      await waitForStarts(shortJob, 5)
      // The long job does not make up for its missed runs.
      expect(longJob.startedAt.length).toBeLessThan(10)
    })

    test('the queue keeps no record of a completed or failed run', async (context) => {
      const { expect } = context
      const { queue, start } = openQueue(context)
      const failingJob = createTestJob(100, {
        name: 'failing',
        work: () => Promise.reject(new Error('refused')),
      })
      const succeedingJob = createTestJob(100, { name: 'succeeding' })
      const jobs = await start([succeedingJob, failingJob])
      await Promise.all([waitForStarts(succeedingJob, 5), waitForStarts(failingJob, 5)])
      await jobs.close()
      expect(await queue.getJobCounts()).toMatchObject({ active: 0, completed: 0, failed: 0 })
    })

    test('close aborts running jobs, and waits for their end', async (context) => {
      const { expect } = context
      const { queue, start } = openQueue(context)
      let hasWorkEnded = false
      const work = async (signal: AbortSignal) => {
        await once(signal, 'abort')
        // Without waiting, `close` would return within this time.
        await sleep(300)
        hasWorkEnded = true
      }
      const job = createTestJob(ONE_HOUR_MS, { work })
      const jobs = await start([job])
      await expect.poll(() => job.startedAt.length, WAIT).toBe(1)
      // A second call of `close` is harmless.
      await Promise.all([jobs.close(), jobs.close()])
      expect(hasWorkEnded).toBe(true)
      expect(await queue.getJobCounts('active')).toEqual({ active: 0 })
    })

    test('no job starts after close was called', async (context) => {
      const { expect } = context
      const { queue, start } = openQueue(context)
      const { work, endWork } = createControlledWork()
      const frequentJob = createTestJob(50, { name: 'frequent' })
      const longJob = createTestJob(ONE_HOUR_MS, { name: 'long', work })
      const jobs = await start([frequentJob, longJob])
      await waitForStarts(frequentJob)
      await expect.poll(() => longJob.startedAt.length, WAIT).toBe(1)
      // `close` waits for the long job. Meanwhile, the frequent job becomes due.
      const whenClosed = jobs.close()
      const startsBeforeClose = frequentJob.startedAt.length
      const isOverdueByFourIntervals = async () => {
        const schedulers = await queue.getJobSchedulers()
        const nextRunAt = schedulers.find(({ key }) => key === frequentJob.name)?.next
        return Number(nextRunAt) < Date.now() - 4 * frequentJob.everyMs
      }
      await expect.poll(isOverdueByFourIntervals, WAIT).toBe(true)
      endWork()
      await whenClosed
      expect(frequentJob.startedAt).toHaveLength(startsBeforeClose)
    })
  })
}

/** Creates the work of a job. It ends when the test calls `endWork`, and ignores the signal of the job. */
function createControlledWork(): { work(): Promise<void>; endWork(): void } {
  let endWork = (): void => undefined
  const whenEnded = new Promise<void>((resolve) => {
    endWork = resolve
  })
  return { work: () => whenEnded, endWork: () => endWork() }
}

/**
 * Waits for `count` more runs of a job. Returns the time from the first to the last of these runs, in milliseconds.
 */
async function measureRuns(job: TestJob, count: number): Promise<number> {
  const startsBefore = job.startedAt.length
  await waitForStarts(job, count)
  const starts = job.startedAt.slice(startsBefore, startsBefore + count)
  return (starts.at(-1) ?? 0) - (starts[0] ?? 0)
}
