/** Returns a function that passes at most one call per interval to `run`, and ignores the others. */
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
