/** A clock that moves only when `pass` is called. */
export interface Clock {
  /** Returns milliseconds since the epoch. */
  now(): number
  /** Moves the clock ahead by `ms` milliseconds. */
  pass(ms: number): void
}

/** Creates a clock that starts at the last full second. */
export function createClock(): Clock {
  let nowMs = Math.floor(Date.now() / 1000) * 1000
  return {
    now: () => nowMs,
    pass(ms) {
      nowMs += ms
    },
  }
}
