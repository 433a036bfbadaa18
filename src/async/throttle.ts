/** Returns a function that calls `run` at most once per interval and ignores all other calls. */
export function throttle<Args extends unknown[]>(
  intervalMs: number,
  run: (...args: Args) => void,
): (...args: Args) => void {
  let lastAt = Number.NEGATIVE_INFINITY
  return (...args) => {
    const now = performance.now()
    if (now - lastAt < intervalMs) return
    lastAt = now
    run(...args)
  }
}
