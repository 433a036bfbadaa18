import { type Clocks, systemClocks } from '../../src/client/clocks.js'

/** Clocks of a client that run like real clocks, and that a test can set. All times are in milliseconds. */
export interface SettableClocks extends Clocks {
  /** Sets the wall clock ahead. A negative number sets it back. */
  setAhead(ms: number): void
  /** Simulates that the machine is suspended: only the wall clock advances. */
  sleep(ms: number): void
  /** Advances only the monotonic clock. */
  passMonotonic(ms: number): void
}

/** Creates clocks that show the time of this process. */
export function createSettableClocks(): SettableClocks {
  let wallOffsetMs = 0
  let monotonicOffsetMs = 0
  const moveWall = (ms: number) => {
    wallOffsetMs += ms
  }
  return {
    monotonic: () => systemClocks.monotonic() + monotonicOffsetMs,
    wall: () => systemClocks.wall() + wallOffsetMs,
    // A client cannot distinguish a suspended machine from a wall clock that is set ahead.
    setAhead: moveWall,
    sleep: moveWall,
    passMonotonic(ms) {
      monotonicOffsetMs += ms
    },
  }
}
