import { setTimeout as sleep } from 'node:timers/promises'
import { hasCode } from '../../errors.js'
import { DEFAULT_WAIT_MS, MAX_WAIT_MS } from './limit.js'

/**
 * Maximum jitter, as a fraction of the pause. Without jitter, requests that were refused together would be retried
 * together.
 */
const MAX_JITTER = 0.1

/** A pause of all requests after a 429. */
export interface Pause {
  /** When the pause ends, in milliseconds of a monotonic clock. */
  endsAt(): number
  /** Resolves when the pause is over. */
  wait(signal: AbortSignal): Promise<void>
  /** Begins a pause of `waitMs`, but at most one minute, plus jitter. */
  begin(waitMs: number): void
  /** Begins the pause that an `AUTH0_RATE_LIMIT` error requires. Ignores other errors. */
  beginIfRateLimited(error: unknown): void
}

/** Creates a pause that has not begun. */
export function createPause(): Pause {
  let endsAt = 0
  const begin = (waitMs: number) => {
    const jitter = 1 + Math.random() * MAX_JITTER
    // If two requests are refused, the second must not shorten the pause of the first.
    endsAt = Math.max(endsAt, performance.now() + Math.min(waitMs, MAX_WAIT_MS) * jitter)
  }

  return {
    begin,
    endsAt: () => endsAt,
    async wait(signal) {
      const waitMs = endsAt - performance.now()
      if (waitMs > 0) await sleep(waitMs, undefined, { signal })
    },
    beginIfRateLimited(error) {
      if (hasCode(error, 'AUTH0_RATE_LIMIT')) begin(error.retryAfterMs ?? DEFAULT_WAIT_MS)
    },
  }
}
