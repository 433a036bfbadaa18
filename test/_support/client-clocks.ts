import { type Clocks, systemClocks } from '../../src/client/clocks.js'

/** The clocks of a client. They run like real clocks, and a test can set them. All times are in milliseconds. */
export interface SettableClocks extends Clocks {
  /** Sets the wall clock ahead. A negative number sets it back. */
  setAhead(ms: number): void
  /** Simulates a sleep of the machine, or a frozen function: only the wall clock advances. */
  sleep(ms: number): void
  /** Advances only the monotonic clock. */
  passMonotonic(ms: number): void
}

/** Creates clocks that begin with the time of this process. */
export function createSettableClocks(): SettableClocks {
  let wallOffsetMs = 0
  let monotonicOffsetMs = 0
  const moveWall = (ms: number) => {
    wallOffsetMs += ms
  }
  return {
    monotonic: () => systemClocks.monotonic() + monotonicOffsetMs,
    wall: () => systemClocks.wall() + wallOffsetMs,
    // For a client, a sleep looks the same as a wall clock that is set ahead.
    setAhead: moveWall,
    sleep: moveWall,
    passMonotonic(ms) {
      monotonicOffsetMs += ms
    },
  }
}
