import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createLagHistory } from '../../src/console/lag-history.js'

const START = Date.UTC(2026, 10, 28, 12)

beforeEach(() => {
  vi.useFakeTimers({ now: START })
})
afterEach(() => {
  vi.useRealTimers()
})

test('the history records the lag at each interval, with the time of the sample', async () => {
  let lagMs = 100
  const history = createLagHistory({
    readProgress: async () => ({ asOf: START, now: START + lagMs }),
    intervalMs: 1_000,
  })
  expect(history.read()).toEqual({ at: [], lagMs: [] })
  await vi.advanceTimersByTimeAsync(1_000)
  lagMs = 250
  await vi.advanceTimersByTimeAsync(1_000)
  expect(history.startedAt).toBe(START)
  expect(history.read()).toEqual({ at: [START + 1_000, START + 2_000], lagMs: [100, 250] })
  history.close()
})

test('a sample is null if the database fails or the lag is unknown', async () => {
  const results = [
    () => Promise.reject(new Error('database unavailable')),
    async () => ({ asOf: null, now: START }),
    // `as_of` is more than a minute ahead of the database's clock, so the lag is unknown.
    async () => ({ asOf: START + 61_000, now: START }),
    async () => ({ asOf: START, now: START }),
  ]
  const history = createLagHistory({
    readProgress: () => (results.shift() ?? (() => Promise.reject(new Error('no result'))))(),
    intervalMs: 5_000,
  })
  await vi.advanceTimersByTimeAsync(20_000)
  expect(history.read().lagMs).toEqual([null, null, null, 0])
  history.close()
})

test('a sample is null if the database does not respond in time', async () => {
  vi.useRealTimers()
  const readProgress = () => new Promise<never>(() => {})
  const history = createLagHistory({ readProgress, intervalMs: 10, timeoutMs: 10 })
  await expect.poll(() => history.read().lagMs).toContain(null)
  history.close()
})

test('the history keeps the samples of one hour by default, and drops older samples', async () => {
  let now = START
  const history = createLagHistory({ readProgress: async () => ({ asOf: START, now }) })
  for (let minute = 0; minute < 70; minute++) {
    now += 60_000
    await vi.advanceTimersByTimeAsync(60_000)
  }
  const { at, lagMs } = history.read()
  expect([at.length, lagMs.length]).toEqual([515, 515])
  expect((at.at(-1) ?? 0) - (at[0] ?? 0)).toBe(514 * 7_000)
  expect(lagMs.at(-1)).toBeGreaterThan(69 * 60_000)
  history.close()
})

test('the instants ascend even if the wall clock is set back', async () => {
  const history = createLagHistory({
    readProgress: async () => ({ asOf: START, now: START }),
    intervalMs: 1_000,
  })
  await vi.advanceTimersByTimeAsync(1_000)
  vi.setSystemTime(START - 3_600_000)
  await vi.advanceTimersByTimeAsync(1_000)
  expect(history.read().at).toEqual([START + 1_000, START + 2_000])
  history.close()
})

test('after close, the history reads nothing', async () => {
  const readProgress = vi.fn(async () => ({ asOf: START, now: START }))
  const history = createLagHistory({ readProgress, intervalMs: 1_000 })
  await vi.advanceTimersByTimeAsync(2_000)
  history.close()
  await vi.advanceTimersByTimeAsync(5_000)
  expect(readProgress).toHaveBeenCalledTimes(2)
})
