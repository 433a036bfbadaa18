import { setTimeout as sleep } from 'node:timers/promises'
import { abortedError } from '../errors.js'

/** How long to wait between attempts. */
export interface Backoff {
  /** The wait after the first attempt, in milliseconds. */
  firstMs: number
  /** Upper bound of the wait, in milliseconds, before jitter is added. */
  maxMs: number
}

/** Maximum jitter, as a fraction of the wait. The added jitter is a random value from 0 to this fraction. */
const MAX_JITTER = 0.5

/**
 * Waits with exponential backoff and jitter. Each attempt doubles the wait.
 *
 * @param attempt Number of the attempt, from 0.
 * @throws `ABORTED` when `signal` aborts.
 */
export async function backOff(
  attempt: number,
  { firstMs, maxMs }: Backoff,
  signal: AbortSignal,
): Promise<void> {
  const waitMs = Math.min(firstMs * 2 ** attempt, maxMs) * (1 + Math.random() * MAX_JITTER)
  await sleep(waitMs, undefined, { signal }).catch((error) => {
    throw abortedError(error)
  })
}
