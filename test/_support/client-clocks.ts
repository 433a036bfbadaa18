import { type Clocks, systemClocks } from '../../src/client/clocks.js'

/** Running clocks of a client that a test can also set. Times in milliseconds. */
export interface SettableClocks extends Clocks {
  /** Sets the wall clock ahead; a negative number sets it back. */
  setAhead(ms: number): void
  /** Lets time pass as while the machine sleeps or the function is frozen: only the wall clock advances. */
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
    // A client cannot distinguish the two.
    setAhead: moveWall,
    sleep: moveWall,
    passMonotonic(ms) {
      monotonicMs += ms
    },
  }
}
