import { setTimeout as sleep } from 'node:timers/promises'
import { singleFlight } from './single-flight.js'

/**
 * Returns a function that calls `run` and caches the result for `intervalMs`. If `run` fails or takes longer than
 * `timeoutMs`, the function returns the previous result. Without a previous result, it returns `null`.
 */
export function cacheFor<T>(
  intervalMs: number,
  timeoutMs: number,
  run: () => Promise<T>,
): () => Promise<T | null> {
  let cachedResult: T | null = null
  let expiresAt = Number.NEGATIVE_INFINITY
  const renew = singleFlight(async () => {
    cachedResult = await run()
    expiresAt = performance.now() + intervalMs
    return cachedResult
  })
  return async () =>
    performance.now() < expiresAt ? cachedResult : withTimeout(timeoutMs, renew(), cachedResult)
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
