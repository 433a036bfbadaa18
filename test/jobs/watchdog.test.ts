import { afterAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import type { Backend } from '../../src/jobs/backend.js'
import { createOutage } from '../../src/jobs/outage.js'
import { createWatchdog } from '../../src/jobs/watchdog.js'
import { createTestJob, createTestLog, NEVER_MS, PATIENCE, uniquePrefix } from './fixture.js'
import { startPostgresStore, type TestQueue } from './stores.js'

const store = await startPostgresStore()
afterAll(() => store.stop())

/** Starts a watchdog that ends with the test; returns what it logs. */
async function startWatchdog(open: () => Promise<Backend>) {
  const stop = new AbortController()
  const { log, lines } = createTestLog()
  const outage = createOutage({ kind: 'redis', url: 'redis://here' }, log, stop.signal)
  const jobs = [createTestJob(NEVER_MS)]
  const watchdog = createWatchdog({ jobs, open, outage, signal: stop.signal })
  onTestFinished(() => {
    stop.abort()
    return watchdog.close()
  })
  await watchdog.start()
  return lines
}

function openQueue(): TestQueue {
  const queue = store.openQueue(uniquePrefix())
  onTestFinished(() => queue.close())
  return queue
}

describe('the watchdog', () => {
  it('replaces a worker that does not take what is due', async () => {
    const queue = openQueue()
    const forced: boolean[] = []
    const close = async (force: boolean): Promise<void> => {
      forced.push(force)
    }
    const lines = await startWatchdog(async () => ({ queue, close }))
    await expect.poll(() => forced, PATIENCE).toEqual([true])
    const message = 'the worker does not take a job that is due'
    expect(lines('warn')).toMatchObject([{ err: { message } }])
  })

  it('opens later what cannot be opened at first', async () => {
    const queue = openQueue()
    let attempts = 0
    const lines = await startWatchdog(async () => {
      attempts += 1
      if (attempts === 1) throw new Error('away')
      return { queue, close: async () => undefined }
    })
    expect(lines('warn')).toMatchObject([{ err: { message: 'away' } }])
    await expect.poll(() => queue.getJobSchedulers(), PATIENCE).toHaveLength(1)
  })

  it.each([
    ['BullMQ, because another worker has just made the schedule', -11],
    ['PostgreSQL, because two workers waited for each other', '40P01'],
  ])('schedules later, without a word, what is refused by %s', async (_by, code) => {
    const queue = openQueue()
    const upsert = queue.upsertJobScheduler.bind(queue)
    const refused = vi.spyOn(queue, 'upsertJobScheduler')
    refused.mockRejectedValueOnce(Object.assign(new Error('refused'), { code }))
    refused.mockImplementation(upsert)
    const lines = await startWatchdog(async () => ({ queue, close: async () => undefined }))
    expect(await queue.getJobSchedulers()).toEqual([])
    await expect.poll(() => queue.getJobSchedulers(), PATIENCE).toHaveLength(1)
    expect(lines('warn')).toEqual([])
  })

  it('says so when a schedule is refused over and over (P6)', async () => {
    const queue = openQueue()
    const refusal = Object.assign(new Error('refused'), { code: -11 })
    vi.spyOn(queue, 'upsertJobScheduler').mockRejectedValue(refusal)
    const lines = await startWatchdog(async () => ({ queue, close: async () => undefined }))
    await expect.poll(() => lines('warn').length, PATIENCE).toBe(1)
  })
})
