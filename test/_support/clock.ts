/** A clock that stands until it is told how long has passed; in milliseconds. */
export interface Clock {
  now(): number
  pass(ms: number): void
}

/** A clock that begins at the last whole second. */
export function createClock(): Clock {
  let at = Math.floor(Date.now() / 1000) * 1000
  return {
    now: () => at,
    pass(ms) {
      at += ms
    },
  }
}
