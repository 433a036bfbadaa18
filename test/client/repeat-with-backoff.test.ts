import { describe, expect, test } from 'vitest'
import { delayMs, repeatWithBackoff } from '../../src/client/repeat-with-backoff.js'
import { sleep } from '../../src/client/sleep.js'

describe('a repeated attempt', () => {
  test('the delay doubles after each failure, and is at most 100 ms after a success', async () => {
    const plannedSuccesses = [false, false, true]
    const endedAtMs: number[] = []
    const startedAtMs: number[] = []
    const stop = repeatWithBackoff(async () => {
      startedAtMs.push(performance.now())
      const isSuccess = plannedSuccesses.shift() ?? true
      endedAtMs.push(performance.now())
      return { isSuccess }
    })
    await expect.poll(() => startedAtMs.length).toBe(4)
    await stop()
    const delaysMs = endedAtMs.slice(0, 3).map((endMs, i) => (startedAtMs[i + 1] ?? 0) - endMs)
    // The backoffs are 200 ms, 400 ms and 100 ms. A delay is at least half of the backoff. Timers can be 1 ms early.
    expect(delaysMs[0]).toBeGreaterThan(98)
    expect(delaysMs[1]).toBeGreaterThan(198)
    expect(delaysMs[2]).toBeGreaterThan(48)
  })

  test('the next attempt is delayed at least as long as the service asks', async () => {
    const startedAtMs: number[] = []
    const stop = repeatWithBackoff(async () => {
      startedAtMs.push(performance.now())
      return { isSuccess: false, retryAfterMs: 300 }
    })
    await expect.poll(() => startedAtMs.length).toBe(2)
    await stop()
    const [firstMs = 0, secondMs = 0] = startedAtMs
    expect(secondMs - firstMs).toBeGreaterThan(298)
  })

  // The backoff starts at 100 ms, and is at most 10 s. A `Retry-After` counts as at most 6.5 s.
  test.each([
    [0, 0, 50, 100],
    [3, 0, 400, 800],
    [99, 0, 5_000, 10_000],
    [1, 5_000, 5_000, 7_500],
    [99, 1_000, 5_000, 10_000],
    [1, 3_600_000, 6_500, 9_750],
  ])(
    'after %i failures and a `Retry-After` of %i ms, the delay is from %i to %i ms',
    (failures, retryAfterMs, minMs, maxMs) => {
      const delays = Array.from({ length: 200 }, () => delayMs(failures, retryAfterMs))
      expect(Math.min(...delays)).toBeGreaterThanOrEqual(minMs)
      expect(Math.max(...delays)).toBeLessThanOrEqual(maxMs)
      // The delays are random.
      expect(new Set(delays).size).toBeGreaterThan(100)
    },
  )

  test('an attempt does not run again after the repetition was stopped', async () => {
    let attemptCount = 0
    const stop = repeatWithBackoff(async () => {
      attemptCount++
      return { isSuccess: false }
    })
    await stop()
    expect(attemptCount).toBe(1)
  })

  test('the promise of `stop` resolves only after the current attempt has ended', async () => {
    let finish = () => {}
    let isEnded = false
    const whenFinished = new Promise<void>((resolve) => {
      finish = resolve
    })
    const stop = repeatWithBackoff(async () => {
      await whenFinished
      isEnded = true
      return { isSuccess: true }
    })
    const whenStopped = stop()
    finish()
    await whenStopped
    expect(isEnded).toBe(true)
  })
})

describe('sleep', () => {
  test('sleep resolves at once when its signal aborts', async () => {
    const controller = new AbortController()
    const sleeping = sleep(60_000, controller.signal)
    controller.abort()
    await sleeping
  })

  test('sleep resolves at once if its signal has already aborted', async () => {
    await sleep(60_000, AbortSignal.abort())
  })
})
