import { setTimeout as sleep } from 'node:timers/promises'
import { hasCode } from '../../errors.js'
import { DEFAULT_WAIT_MS, MAX_WAIT_MS } from './limit.js'

/**
 * Maximum jitter, as a fraction of the pause. A random time of up to this fraction is added to each pause, so that
 * requests that were refused together are not retried together.
 */
const MAX_JITTER = 0.1

/** A pause of all requests after a 429. */
export interface Pause {
  /** When the pause ends, in milliseconds of a monotonic clock. */
  endsAt(): number
  /** Resolves when the pause is over. */
  wait(signal: AbortSignal): Promise<void>
  /** Begins a pause of at most a minute. */
  begin(waitMs: number): void
  /** Begins the pause that an `AUTH0_RATE_LIMIT` error requires. Ignores other errors. */
  beginIfRateLimited(error: unknown): void
}

/** Creates a pause that has not begun. */
export function createPause(): Pause {
  let endsAt = 0
  const begin = (waitMs: number) => {
    const jitter = 1 + Math.random() * MAX_JITTER
    // Of two requests in progress, the second must not shorten the wait that the first one got.
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
