import { setTimeout as sleep } from 'node:timers/promises'
import { singleFlight } from './single-flight.js'

/**
 * Caches the result of `run` for `intervalMs`, then calls `run` again. If that call fails or takes longer than
 * `timeoutMs`, the last result is returned; `null`: there is no result yet.
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

/** Returns `fallback` if `running` fails or takes longer than `timeoutMs`. */
export async function withTimeout<T>(
  timeoutMs: number,
  running: Promise<T>,
  fallback: T,
): Promise<T> {
  const ended = new AbortController()
  try {
    return await Promise.race([running, sleep(timeoutMs, fallback, { signal: ended.signal })])
  } catch {
    return fallback
  } finally {
    ended.abort()
  }
}
