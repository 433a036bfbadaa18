import { ErrorCode } from 'bullmq'
import { afterAll, describe, expect, test, vi } from 'vitest'
import type { Backend } from '../../src/jobs/backend.js'
import { JOBS_DEFAULTS } from '../../src/jobs/jobs.js'
import { createQueueOutage } from '../../src/jobs/outage.js'
import { createWatchdog } from '../../src/jobs/watchdog.js'
import { WAIT } from '../_support/wait.js'
import { type Context, createTestJob, createTestLog, ONE_HOUR_MS, uniquePrefix } from './fixture.js'
import { startPostgresStore, type TestQueue } from './stores.js'

// The watchdog opens the queue and its worker, and checks the schedule at an interval: it schedules jobs that are missing
// or overdue. An outage of the server is logged as a warning, and its end as an info line.

const store = await startPostgresStore()
afterAll(() => store.stop())

/** Creates the result of `open`: the queue, without a worker that would take its jobs. */
function createBackend(queue: TestQueue, overrides: Partial<Backend> = {}): Backend {
  const neverRefused = new Promise<never>(() => {})
  return {
    queue,
    refused: neverRefused,
    assertWritable: async () => undefined,
    close: async () => undefined,
    ...overrides,
  }
}

/** Starts a watchdog that checks the schedule every 100 ms, and closes it after the test. */
async function startWatchdog(
  { onTestFinished }: Context,
  open: () => Promise<Backend>,
  { now = Date.now, onRegistered }: { now?: () => number; onRegistered?: () => void } = {},
) {
  const stop = new AbortController()
  const { log, lines } = createTestLog()
  const outage = createQueueOutage({ kind: 'redis', urls: ['redis://here'] }, log, stop.signal)
  const jobs = [createTestJob(ONE_HOUR_MS)]
  const { signal } = stop
  const options = { jobs, open, onRegistered, outage, signal, watchIntervalMs: 100, now }
  const watchdog = createWatchdog(options)
  onTestFinished(() => {
    stop.abort()
    return watchdog.close()
  })
  await watchdog.start()
  return { lines, outage }
}

function openQueue({ onTestFinished }: Context): TestQueue {
  const queue = store.openQueue(uniquePrefix())
  onTestFinished(() => queue.close())
  return queue
}

describe.concurrent('the watchdog', () => {
  test('by default, the watchdog checks the schedule every three seconds, and waits five seconds for a response', () => {
    expect(JOBS_DEFAULTS).toEqual({ watchIntervalMs: 3_000, timeoutMs: 5_000 })
  })

  test('the watchdog replaces a worker that does not take due jobs', async (context) => {
    const { expect } = context
    const queue = openQueue(context)
    const close = vi.fn(async (_force: boolean) => undefined)
    // At this time, a job that has just been scheduled is overdue.
    const oneMinuteAhead = () => Date.now() + 60_000
    const open = async () => createBackend(queue, { close })
    const { lines } = await startWatchdog(context, open, { now: oneMinuteAhead })
    await expect.poll(() => close.mock.calls, WAIT).toEqual([[true]])
    const message = 'the worker does not take a due job'
    expect(lines('warn')).toMatchObject([{ err: { message } }])
  })

  test('the watchdog opens a queue that could not be opened at first', async (context) => {
    const { expect } = context
    const queue = openQueue(context)
    let attempts = 0
    const open = async () => {
      attempts += 1
      if (attempts === 1) throw new Error('unavailable')
      return createBackend(queue)
    }
    const onRegistered = vi.fn()
    const { lines } = await startWatchdog(context, open, { onRegistered })
    expect(lines('warn')).toMatchObject([{ err: { message: 'unavailable' } }])
    expect(onRegistered).not.toHaveBeenCalled()
    await expect.poll(() => queue.getJobSchedulers(), WAIT).toHaveLength(1)
    await expect.poll(() => lines('info'), WAIT).toMatchObject([{ msg: 'job queue restored' }])
    expect(onRegistered).toHaveBeenCalledOnce()
  })

  test('the watchdog reports the end of an outage only when the server accepts writes', async (context) => {
    const { expect } = context
    const queue = openQueue(context)
    const fullError = new Error('OOM command not allowed')
    let isRedisFull = true
    let writeAttempts = 0
    const assertWritable = async () => {
      writeAttempts += 1
      if (isRedisFull) throw fullError
    }
    const open = async () => createBackend(queue, { assertWritable })
    const { lines, outage } = await startWatchdog(context, open)
    // The worker has failed to write.
    outage.recordFailure(fullError)
    await expect.poll(() => writeAttempts, WAIT).toBeGreaterThan(4)
    expect(lines('info')).toEqual([])
    isRedisFull = false
    await expect.poll(() => lines('info'), WAIT).toMatchObject([{ msg: 'job queue restored' }])
    expect(lines('warn')).toHaveLength(1)
  })

  test.for([
    [
      'another worker that has just created it (an error of BullMQ)',
      ErrorCode.SchedulerJobSlotsBusy,
    ],
    ['a deadlock (an error of PostgreSQL)', '40P01'],
  ])(
    'the watchdog retries without a warning if the scheduler cannot be stored because of %s',
    async ([, code], context) => {
      const { expect } = context
      const queue = openQueue(context)
      const conflict = Object.assign(new Error('refused'), { code })
      // After the first call, the spy calls the real function.
      vi.spyOn(queue, 'upsertJobScheduler').mockRejectedValueOnce(conflict)
      const { lines } = await startWatchdog(context, async () => createBackend(queue))
      expect(await queue.getJobSchedulers()).toEqual([])
      await expect.poll(() => queue.getJobSchedulers(), WAIT).toHaveLength(1)
      expect(lines('warn')).toEqual([])
    },
  )

  test('the watchdog logs a warning if every attempt to store the scheduler fails with a conflict (pitfall 6)', async (context) => {
    const { expect } = context
    const queue = openQueue(context)
    const conflict = Object.assign(new Error('refused'), { code: ErrorCode.SchedulerJobSlotsBusy })
    vi.spyOn(queue, 'upsertJobScheduler').mockRejectedValue(conflict)
    const { lines } = await startWatchdog(context, async () => createBackend(queue))
    await expect.poll(() => lines('warn').length, WAIT).toBe(1)
  })
})
