import { setTimeout as sleep } from 'node:timers/promises'
import { shareRunning } from './single-flight.js'

/** The last result, and a new one once that is old: where it fails or takes long, the last again. */
export function atMostEvery<T>(
  intervalMs: number,
  patienceMs: number,
  run: () => Promise<T>,
): () => Promise<T | null> {
  let last: T | null = null
  let dueAt = Number.NEGATIVE_INFINITY
  const renew = shareRunning(async () => {
    last = await run()
    dueAt = performance.now() + intervalMs
    return last
  })
  return async () => (performance.now() < dueAt ? last : within(patienceMs, renew(), last))
}

/** `otherwise` where it fails or takes longer, for those to whom that is an answer. */
export async function within<T>(patienceMs: number, running: Promise<T>, otherwise: T): Promise<T> {
  const ended = new AbortController()
  try {
    return await Promise.race([running, sleep(patienceMs, otherwise, { signal: ended.signal })])
  } catch {
    return otherwise
  } finally {
    ended.abort()
  }
}
