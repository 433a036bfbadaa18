import { type Clocks, systemClocks } from '../../src/client/clocks.js'

/**
 * The wall clock and the monotonic clock of a client. They run like real clocks, and a test can move them. All times
 * are in milliseconds.
 */
export interface SettableClocks extends Clocks {
  /** Sets the wall clock ahead. A negative number sets the wall clock back. */
  setWallAhead(ms: number): void
  /** Simulates a suspended machine: only the wall clock advances. */
  suspend(ms: number): void
  /** Advances only the monotonic clock. */
  advanceMonotonic(ms: number): void
}

/** Creates clocks that show the time of this process. */
export function createSettableClocks(): SettableClocks {
  let wallOffsetMs = 0
  let monotonicOffsetMs = 0
  const moveWallClock = (ms: number) => {
    wallOffsetMs += ms
  }
  return {
    monotonic: () => systemClocks.monotonic() + monotonicOffsetMs,
    wall: () => systemClocks.wall() + wallOffsetMs,
    // For a client, a suspended machine looks like a wall clock that was set ahead.
    setWallAhead: moveWallClock,
    suspend: moveWallClock,
    advanceMonotonic(ms) {
      monotonicOffsetMs += ms
    },
  }
}
