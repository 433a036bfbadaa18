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
 * @returns A function that returns the elapsed milliseconds: the larger of the two measurements.
 */
export function startStopwatch({ monotonic, wall }: Clocks): () => number {
  const startMonotonic = monotonic()
  const startWall = wall()
  return () => Math.max(monotonic() - startMonotonic, wall() - startWall)
}

/** Clocks whose monotonic clock is read on a timer. Reading it in every check would make a check 10 % slower. */
export interface CoarseClocks extends Clocks {
  stop(): void
}

/** Reads the monotonic clock every `updateIntervalMs` milliseconds; after `stop`, at each call. Each call reads the wall clock. */
export function startCoarseClocks(
  { monotonic, wall }: Clocks,
  updateIntervalMs = 250,
): CoarseClocks {
  let lastReadMs = monotonic()
  let isStopped = false
  const timer = setInterval(() => {
    lastReadMs = monotonic()
  }, updateIntervalMs)
  // In browsers and jsdom, a timer is a number, and does not keep a process running.
  if (typeof timer === 'object') timer.unref()
  return {
    monotonic: () => (isStopped ? monotonic() : lastReadMs),
    wall,
    stop() {
      isStopped = true
      clearInterval(timer)
    },
  }
}
