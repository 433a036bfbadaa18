import { beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { startSilenceTimer } from '../../src/client/silence-timer.js'

const TIMEOUT_MS = 15_000

beforeEach(() => {
  vi.useFakeTimers()
  onTestFinished(() => void vi.useRealTimers())
})

test.each([0, 1, 9_999, 14_999])(
  'a silence timer calls onSilence 15 s after the last data, which arrived after %i ms',
  (dataMs) => {
    const onSilence = vi.fn()
    const timer = startSilenceTimer(TIMEOUT_MS, onSilence)
    vi.advanceTimersByTime(dataMs)
    timer.restart()
    vi.advanceTimersByTime(TIMEOUT_MS - 1)
    expect(onSilence).not.toHaveBeenCalled()
    vi.advanceTimersByTime(1)
    expect(onSilence).toHaveBeenCalledOnce()
  },
)

test('a silence timer never calls onSilence while data arrives, and not after stop', () => {
  const onSilence = vi.fn()
  const timer = startSilenceTimer(TIMEOUT_MS, onSilence)
  for (let n = 0; n < 60; n++) {
    vi.advanceTimersByTime(TIMEOUT_MS - 1)
    timer.restart()
  }
  timer.stop()
  vi.advanceTimersByTime(10 * TIMEOUT_MS)
  expect(onSilence).not.toHaveBeenCalled()
})
