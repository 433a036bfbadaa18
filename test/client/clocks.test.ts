import { describe, expect, test } from 'vitest'
import { startCoarseClocks, startStopwatch } from '../../src/client/clocks.js'

function createClocks() {
  const at = { monotonic: 5_000, wall: 1_795_428_000_000 }
  return { at, monotonic: () => at.monotonic, wall: () => at.wall }
}

describe('a stopwatch', () => {
  test('a stopwatch includes the time that the machine slept', () => {
    const clocks = createClocks()
    const elapsedMs = startStopwatch(clocks)
    clocks.at.wall += 3_600_000
    expect(elapsedMs()).toBe(3_600_000)
  })

  test('a stopwatch uses the monotonic clock when the wall clock is set back', () => {
    const clocks = createClocks()
    const elapsedMs = startStopwatch(clocks)
    clocks.at.monotonic += 700
    clocks.at.wall -= 3_600_000
    expect(elapsedMs()).toBe(700)
  })
})

test('a stopwatch uses both clocks even after its coarse clocks were stopped', () => {
  const clocks = createClocks()
  const coarseClocks = startCoarseClocks(clocks)
  const elapsedMs = startStopwatch(coarseClocks)
  coarseClocks.stop()
  clocks.at.monotonic += 600_000
  clocks.at.wall -= 3_600_000
  expect(elapsedMs()).toBe(600_000)
})
