/** The two clocks of a process, in milliseconds. Each has a fault that the other does not have. */
export interface Clocks {
  /** Cannot be set. Stands still while the machine sleeps or the function is frozen. */
  monotonic(): number
  /** The time of day. Runs on during sleep, but can be set back or ahead. */
  wall(): number
}

/** The clocks of this process. */
export const systemClocks: Clocks = {
  monotonic: () => performance.now(),
  wall: () => Date.now(),
}

/**
 * Starts to measure a time span by both clocks.
 *
 * @returns a function that returns the milliseconds since then, by the clock that shows more.
 */
export function startStopwatch({ monotonic, wall }: Clocks): () => number {
  const startMonotonic = monotonic()
  const startWall = wall()
  return () => Math.max(monotonic() - startMonotonic, wall() - startWall)
}

/** Clocks of which the monotonic one is read on a timer: reading it at every check would cost a tenth of the check. */
export interface TickingClocks extends Clocks {
  stop(): void
}

/** Reads the monotonic clock every `tickMs` milliseconds, and once stopped at each call. The time of day stays exact. */
export function startTickingClocks({ monotonic, wall }: Clocks, tickMs = 250): TickingClocks {
  let tickedAt = monotonic()
  let isStopped = false
  const timer = setInterval(() => {
    tickedAt = monotonic()
  }, tickMs).unref()
  return {
    monotonic: () => (isStopped ? monotonic() : tickedAt),
    wall,
    stop() {
      isStopped = true
      clearInterval(timer)
    },
  }
}
