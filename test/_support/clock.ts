/** A clock in milliseconds that moves only when `pass` is called. */
export interface Clock {
  now(): number
  pass(ms: number): void
}

/** Creates a clock that starts at the last full second. */
export function createClock(): Clock {
  let at = Math.floor(Date.now() / 1000) * 1000
  return {
    now: () => at,
    pass(ms) {
      at += ms
    },
  }
}
