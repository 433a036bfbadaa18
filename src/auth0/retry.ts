import { type Backoff, backOff } from '../async/backoff.js'
import { aborted, hasCode, type LastLogoutError } from '../errors.js'

/** How often, and for how long, a request is repeated before its failure is reported. */
export interface RetryLimits {
  /** How many attempts follow the first. */
  retries: number
  /** No attempt begins later than this after the first, in milliseconds. */
  forMs: number
  /** The waits between attempts. */
  backoff: Backoff
}

/** The limits of every request to Auth0, unless other ones are given. */
export const RETRY_LIMITS: RetryLimits = {
  retries: 4,
  forMs: 20_000,
  backoff: { firstMs: 250, maxMs: 2_000 },
}

/**
 * Retries transient errors with backoff; the error of the last attempt is thrown.
 *
 * @throws `ABORTED` when `signal` aborts.
 */
export async function retry<T>(
  run: () => Promise<T>,
  signal: AbortSignal,
  { retries, forMs, backoff }: RetryLimits = RETRY_LIMITS,
): Promise<T> {
  const startedAt = performance.now()
  for (let attempt = 0; ; attempt++) {
    try {
      return await run()
    } catch (error) {
      if (signal.aborted) throw aborted(error)
      const isLast = attempt >= retries || performance.now() - startedAt > forMs
      if (isLast || !isPassing(error)) throw error
      // A rate limit's wait is kept by the budget, for the next question too.
      if (error.code !== 'AUTH0_RATE_LIMIT') await backOff(attempt, backoff, signal)
    }
  }
}

function isPassing(error: unknown): error is LastLogoutError {
  return (
    hasCode(error, 'AUTH0_RATE_LIMIT') ||
    hasCode(error, 'AUTH0_UNAVAILABLE') ||
    hasCode(error, 'AUTH0_MALFORMED_PAGE')
  )
}
