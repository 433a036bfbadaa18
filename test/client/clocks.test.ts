import { describe, expect, test } from 'vitest'
import { startCoarseClocks, startStopwatch } from '../../src/client/clocks.js'

const HOUR_MS = 3_600_000

/** Creates clocks that show the times in `time`, in milliseconds. */
function createClocks() {
  const time = { monotonic: 5_000, wall: 1_795_428_000_000 }
  return { time, monotonic: () => time.monotonic, wall: () => time.wall }
}

describe('a stopwatch', () => {
  test('a stopwatch includes the time that the machine slept', () => {
    const clocks = createClocks()
    const elapsedMs = startStopwatch(clocks)
    clocks.time.wall += HOUR_MS
    expect(elapsedMs()).toBe(HOUR_MS)
  })

  test('a stopwatch uses the monotonic clock when the wall clock is set back', () => {
    const clocks = createClocks()
    const elapsedMs = startStopwatch(clocks)
    clocks.time.monotonic += 700
    clocks.time.wall -= HOUR_MS
    expect(elapsedMs()).toBe(700)
  })
})

// Coarse clocks read the monotonic clock on a timer, which `stop` ends.
test('a stopwatch still uses the monotonic clock after its coarse clocks were stopped', () => {
  const clocks = createClocks()
  const coarseClocks = startCoarseClocks(clocks)
  const elapsedMs = startStopwatch(coarseClocks)
  coarseClocks.stop()
  clocks.time.monotonic += 600_000
  clocks.time.wall -= HOUR_MS
  expect(elapsedMs()).toBe(600_000)
})
