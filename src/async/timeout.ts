import { setTimeout as sleep } from 'node:timers/promises'
import { singleFlight } from './single-flight.js'

/**
 * Returns a function that calls `run`, and caches the result for `intervalMs`. If `run` fails or takes longer than
 * `timeoutMs`, the function returns the previous result, or `null` if there is none.
 */
export function cacheFor<T>(
  intervalMs: number,
  timeoutMs: number,
  run: () => Promise<T>,
): () => Promise<T | null> {
  let last: T | null = null
  let dueAt = Number.NEGATIVE_INFINITY
  const renew = singleFlight(async () => {
    last = await run()
    dueAt = performance.now() + intervalMs
    return last
  })
  return async () => (performance.now() < dueAt ? last : withTimeout(timeoutMs, renew(), last))
}

/** Returns the result of a promise, or `fallback` if the promise rejects or takes longer than `timeoutMs`. */
export async function withTimeout<T>(
  timeoutMs: number,
  promise: Promise<T>,
  fallback: T,
): Promise<T> {
  const timer = new AbortController()
  try {
    return await Promise.race([promise, sleep(timeoutMs, fallback, { signal: timer.signal })])
  } catch {
    return fallback
  } finally {
    timer.abort()
  }
}
