/** The two clocks of a process, in milliseconds. Each has a weakness that the other does not have. */
export interface Clocks {
  /** The monotonic clock cannot be set. It stands still while the machine sleeps or the function is frozen. */
  monotonic(): number
  /** The wall clock runs during sleep, but can be set back or ahead. */
  wall(): number
}

/** The clocks of this process. */
export const systemClocks: Clocks = {
  monotonic: () => performance.now(),
  wall: () => Date.now(),
}

/**
 * Starts to measure elapsed time by both clocks.
 *
 * @returns A function that returns the elapsed milliseconds, by the clock that shows more.
 */
export function startStopwatch({ monotonic, wall }: Clocks): () => number {
  const startMonotonic = monotonic()
  const startWall = wall()
  return () => Math.max(monotonic() - startMonotonic, wall() - startWall)
}

/** Clocks that read the monotonic clock on a timer. Reading it for every check would add a tenth to the cost of the check. */
export interface TickingClocks extends Clocks {
  stop(): void
}

/** Starts to read the monotonic clock every `tickMs` milliseconds. After `stop`, each call reads it. The wall clock is always exact. */
export function startTickingClocks({ monotonic, wall }: Clocks, tickMs = 250): TickingClocks {
  let tickedAt = monotonic()
  let isStopped = false
  const timer = setInterval(() => {
    tickedAt = monotonic()
  }, tickMs)
  // Where timers are numbers (browsers, jsdom), none keeps a process running.
  if (typeof timer === 'object') timer.unref()
  return {
    monotonic: () => (isStopped ? monotonic() : tickedAt),
    wall,
    stop() {
      isStopped = true
      clearInterval(timer)
    },
  }
}
