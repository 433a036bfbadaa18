/** The two clocks of a process, in milliseconds. Neither clock alone measures elapsed time reliably. */
export interface Clocks {
  /** The monotonic clock cannot be set, but it stops while the machine sleeps or a serverless function is frozen. */
  monotonic(): number
  /** The wall clock never stops, but it can be set back or ahead. */
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

/**
 * Clocks that read the monotonic clock on a timer. Reading the monotonic clock in every check would make a check 10 %
 * slower.
 */
export interface CoarseClocks extends Clocks {
  stop(): void
}

/**
 * Starts clocks that read the monotonic clock every `updateIntervalMs` milliseconds, and after `stop` at each call. The
 * wall clock is always read at each call.
 */
export function startCoarseClocks(
  { monotonic, wall }: Clocks,
  updateIntervalMs = 250,
): CoarseClocks {
  let lastReadMs = monotonic()
  let isStopped = false
  const timer = setInterval(() => {
    lastReadMs = monotonic()
  }, updateIntervalMs)
  // In browsers and jsdom, a timer is a number. Elsewhere, the timer must not keep the process running.
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
