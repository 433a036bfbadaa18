import { type Clocks, systemClocks } from '../../src/client/clocks.js'

/** The clocks of a client. They run on, and a test can move them besides; in milliseconds. */
export interface SettableClocks extends Clocks {
  /** Sets the wall clock ahead, or back by a negative number. */
  setAhead(ms: number): void
  /** Lets time pass as while the machine sleeps or the function is frozen: the wall clock alone shows it. */
  sleep(ms: number): void
  /** Lets time pass that the monotonic clock alone shows. */
  passMonotonic(ms: number): void
}

/** Clocks that agree with those of this process at first. */
export function createSettableClocks(): SettableClocks {
  let wallMs = 0
  let monotonicMs = 0
  const moveWall = (ms: number) => {
    wallMs += ms
  }
  return {
    monotonic: () => systemClocks.monotonic() + monotonicMs,
    wall: () => systemClocks.wall() + wallMs,
    // To a client the two are the same.
    setAhead: moveWall,
    sleep: moveWall,
    passMonotonic(ms) {
      monotonicMs += ms
    },
  }
}
