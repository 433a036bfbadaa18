import { afterAll, describe, expect, test, vi } from 'vitest'
import type { Backend } from '../../src/jobs/backend.js'
import { JOBS_DEFAULTS } from '../../src/jobs/jobs.js'
import { createQueueOutage } from '../../src/jobs/outage.js'
import { createWatchdog } from '../../src/jobs/watchdog.js'
import { WAIT } from '../_support/wait.js'
import { type Context, createTestJob, createTestLog, ONE_HOUR_MS, uniquePrefix } from './fixture.js'
import { startPostgresStore, type TestQueue } from './stores.js'

const store = await startPostgresStore()
afterAll(() => store.stop())

/** A promise that never settles. */
const NEVER = new Promise<never>(() => {})

/** Starts a watchdog, and closes it after the test. */
async function startWatchdogWithOutage(
  { onTestFinished }: Context,
  open: () => Promise<Backend>,
  now = Date.now,
  onRegistered?: () => void,
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

/** Starts a watchdog, and returns its log lines. */
async function startWatchdog(...args: Parameters<typeof startWatchdogWithOutage>) {
  return (await startWatchdogWithOutage(...args)).lines
}

function openQueue({ onTestFinished }: Context): TestQueue {
  const queue = store.openQueue(uniquePrefix())
  onTestFinished(() => queue.close())
  return queue
}

describe.concurrent('the watchdog', () => {
  test('by default, the watchdog checks every three seconds, and a response may take five seconds', () => {
    expect(JOBS_DEFAULTS).toEqual({ watchIntervalMs: 3_000, timeoutMs: 5_000 })
  })

  test('the watchdog replaces a worker that does not take due jobs', async (context) => {
    const { expect } = context
    const queue = openQueue(context)
    const forceArguments: boolean[] = []
    const close = async (force: boolean): Promise<void> => {
      forceArguments.push(force)
    }
    const oneMinuteAhead = () => Date.now() + 60_000
    const lines = await startWatchdog(
      context,
      async () => ({ queue, close, refused: NEVER, assertWritable: async () => {} }),
      oneMinuteAhead,
    )
    await expect.poll(() => forceArguments, WAIT).toEqual([true])
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
      return { queue, close: async () => undefined, refused: NEVER, assertWritable: async () => {} }
    }
    const onRegistered = vi.fn()
    const lines = await startWatchdog(context, open, Date.now, onRegistered)
    expect(lines('warn')).toMatchObject([{ err: { message: 'unavailable' } }])
    expect(onRegistered).not.toHaveBeenCalled()
    await expect.poll(() => queue.getJobSchedulers(), WAIT).toHaveLength(1)
    await expect.poll(() => lines('info'), WAIT).toMatchObject([{ msg: 'job queue restored' }])
    expect(onRegistered).toHaveBeenCalledOnce()
  })

  test('the watchdog reports the end of an outage only when the server accepts writes', async (context) => {
    const { expect } = context
    const queue = openQueue(context)
    let isRedisFull = true
    let attempts = 0
    const assertWritable = async () => {
      attempts++
      if (isRedisFull) throw new Error('OOM command not allowed')
    }
    const close = async () => undefined
    const { lines, outage } = await startWatchdogWithOutage(context, async () => ({
      queue,
      close,
      refused: NEVER,
      assertWritable,
    }))
    outage.recordFailure(new Error('OOM command not allowed'))
    await expect.poll(() => attempts, WAIT).toBeGreaterThan(4)
    expect(lines('info')).toEqual([])
    isRedisFull = false
    await expect.poll(() => lines('info'), WAIT).toMatchObject([{ msg: 'job queue restored' }])
    expect(lines('warn')).toHaveLength(1)
  })

  test.for([
    ['another worker that has just created it (BullMQ)', -11],
    ['a deadlock (PostgreSQL)', '40P01'],
  ])(
    'the watchdog retries without a warning if the scheduler cannot be stored because of %s',
    async ([, code], context) => {
      const { expect } = context
      const queue = openQueue(context)
      const upsert = queue.upsertJobScheduler.bind(queue)
      const upsertSpy = vi.spyOn(queue, 'upsertJobScheduler')
      upsertSpy.mockRejectedValueOnce(Object.assign(new Error('refused'), { code }))
      upsertSpy.mockImplementation(upsert)
      const lines = await startWatchdog(context, async () => ({
        queue,
        close: async () => undefined,
        refused: NEVER,
        assertWritable: async () => {},
      }))
      expect(await queue.getJobSchedulers()).toEqual([])
      await expect.poll(() => queue.getJobSchedulers(), WAIT).toHaveLength(1)
      expect(lines('warn')).toEqual([])
    },
  )

  test('the watchdog reports a conflict that occurs repeatedly (pitfall 6)', async (context) => {
    const { expect } = context
    const queue = openQueue(context)
    const conflict = Object.assign(new Error('refused'), { code: -11 })
    vi.spyOn(queue, 'upsertJobScheduler').mockRejectedValue(conflict)
    const lines = await startWatchdog(context, async () => ({
      queue,
      close: async () => undefined,
      refused: NEVER,
      assertWritable: async () => {},
    }))
    await expect.poll(() => lines('warn').length, WAIT).toBe(1)
  })
})
