import { afterEach, expect, test, vi } from 'vitest'
import { throttle } from '../../src/async/throttle.js'

afterEach(() => void vi.useRealTimers())

test('throttle runs the first call, ignores all calls within the interval, and runs the next call after it', () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  const run = vi.fn()
  const throttled = throttle(1_000, run)
  throttled('a')
  vi.advanceTimersByTime(999)
  throttled('b')
  expect(run.mock.calls).toEqual([['a']])
  vi.advanceTimersByTime(1)
  throttled('c')
  expect(run.mock.calls).toEqual([['a'], ['c']])
})
