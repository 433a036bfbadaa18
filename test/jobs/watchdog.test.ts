import { afterAll, describe, expect, test, vi } from 'vitest'
import type { Backend } from '../../src/jobs/backend.js'
import { JOBS_DEFAULTS } from '../../src/jobs/jobs.js'
import { createQueueOutage } from '../../src/jobs/outage.js'
import { createWatchdog } from '../../src/jobs/watchdog.js'
import { WAIT } from '../_support/wait.js'
import { type Context, createTestJob, createTestLog, NEVER_MS, uniquePrefix } from './fixture.js'
import { startPostgresStore, type TestQueue } from './stores.js'

const store = await startPostgresStore()
afterAll(() => store.stop())

/** The server rejects nothing. */
const NEVER = new Promise<never>(() => {})

/** Starts a watchdog that ends with the test. Returns what it logs, and its outage. */
async function startWatched(
  { onTestFinished }: Context,
  open: () => Promise<Backend>,
  now = Date.now,
  onRegistered?: () => void,
) {
  const stop = new AbortController()
  const { log, lines } = createTestLog()
  const outage = createQueueOutage({ kind: 'redis', urls: ['redis://here'] }, log, stop.signal)
  const jobs = [createTestJob(NEVER_MS)]
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

/** Returns only what the watchdog logs. */
async function startWatchdog(...args: Parameters<typeof startWatched>) {
  return (await startWatched(...args)).lines
}

function openQueue({ onTestFinished }: Context): TestQueue {
  const queue = store.openQueue(uniquePrefix())
  onTestFinished(() => queue.close())
  return queue
}

describe.concurrent('the watchdog', () => {
  test('checks every three seconds, with a timeout of five, by default', () => {
    expect(JOBS_DEFAULTS).toEqual({ watchIntervalMs: 3_000, timeoutMs: 5_000 })
  })

  test('replaces a worker that does not take due jobs', async (context) => {
    const { expect } = context
    const queue = openQueue(context)
    const forced: boolean[] = []
    const close = async (force: boolean): Promise<void> => {
      forced.push(force)
    }
    const aMinuteLater = () => Date.now() + 60_000
    const lines = await startWatchdog(
      context,
      async () => ({ queue, close, refused: NEVER, assertWritable: async () => {} }),
      aMinuteLater,
    )
    await expect.poll(() => forced, WAIT).toEqual([true])
    const message = 'the worker does not take a due job'
    expect(lines('warn')).toMatchObject([{ err: { message } }])
  })

  test('opens a queue that could not be opened at first', async (context) => {
    const { expect } = context
    const queue = openQueue(context)
    let attempts = 0
    const open = async () => {
      attempts += 1
      if (attempts === 1) throw new Error('away')
      return { queue, close: async () => undefined, refused: NEVER, assertWritable: async () => {} }
    }
    const onRegistered = vi.fn()
    const lines = await startWatchdog(context, open, Date.now, onRegistered)
    expect(lines('warn')).toMatchObject([{ err: { message: 'away' } }])
    expect(onRegistered).not.toHaveBeenCalled()
    await expect.poll(() => queue.getJobSchedulers(), WAIT).toHaveLength(1)
    await expect.poll(() => lines('info'), WAIT).toMatchObject([{ msg: 'job queue restored' }])
    expect(onRegistered).toHaveBeenCalledOnce()
  })

  test('reports the end of an outage only when writes are accepted', async (context) => {
    const { expect } = context
    const queue = openQueue(context)
    let isFull = true
    let attempts = 0
    const assertWritable = async () => {
      attempts++
      if (isFull) throw new Error('OOM command not allowed')
    }
    const close = async () => undefined
    const { lines, outage } = await startWatched(context, async () => ({
      queue,
      close,
      refused: NEVER,
      assertWritable,
    }))
    outage.recordFailure(new Error('OOM command not allowed'))
    await expect.poll(() => attempts, WAIT).toBeGreaterThan(4)
    expect(lines('info')).toEqual([])
    isFull = false
    await expect.poll(() => lines('info'), WAIT).toMatchObject([{ msg: 'job queue restored' }])
    expect(lines('warn')).toHaveLength(1)
  })

  test.for([
    ['BullMQ, because another worker has just made the schedule', -11],
    ['PostgreSQL, because two workers waited for each other', '40P01'],
  ])('schedules later, without a word, what is refused by %s', async ([, code], context) => {
    const { expect } = context
    const queue = openQueue(context)
    const upsert = queue.upsertJobScheduler.bind(queue)
    const refused = vi.spyOn(queue, 'upsertJobScheduler')
    refused.mockRejectedValueOnce(Object.assign(new Error('refused'), { code }))
    refused.mockImplementation(upsert)
    const lines = await startWatchdog(context, async () => ({
      queue,
      close: async () => undefined,
      refused: NEVER,
      assertWritable: async () => {},
    }))
    expect(await queue.getJobSchedulers()).toEqual([])
    await expect.poll(() => queue.getJobSchedulers(), WAIT).toHaveLength(1)
    expect(lines('warn')).toEqual([])
  })

  test('reports a schedule that fails repeatedly with a conflict (P6)', async (context) => {
    const { expect } = context
    const queue = openQueue(context)
    const refusal = Object.assign(new Error('refused'), { code: -11 })
    vi.spyOn(queue, 'upsertJobScheduler').mockRejectedValue(refusal)
    const lines = await startWatchdog(context, async () => ({
      queue,
      close: async () => undefined,
      refused: NEVER,
      assertWritable: async () => {},
    }))
    await expect.poll(() => lines('warn').length, WAIT).toBe(1)
  })
})
