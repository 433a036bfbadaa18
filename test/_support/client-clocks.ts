import { type Clocks, systemClocks } from '../../src/client/clocks.js'

/** The clocks of a client. They run, and a test can set them. All times are in milliseconds. */
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
  let wallMs = 0
  let monotonicMs = 0
  const moveWall = (ms: number) => {
    wallMs += ms
  }
  return {
    monotonic: () => systemClocks.monotonic() + monotonicMs,
    wall: () => systemClocks.wall() + wallMs,
    // For a client, a sleep looks the same as a wall clock that is set ahead.
    setAhead: moveWall,
    sleep: moveWall,
    passMonotonic(ms) {
      monotonicMs += ms
    },
  }
}
