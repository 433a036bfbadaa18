import { type Backoff, backOff } from '../async/backoff.js'
import { abortedError, hasCode, type LastLogoutError } from '../errors.js'

/** Limits for the retries of a request. */
export interface RetryLimits {
  /** Maximum number of attempts after the first attempt. */
  retries: number
  /** Maximum time from the start of the first attempt to the start of a retry, in milliseconds. */
  maxElapsedMs: number
  /** The waits between attempts. */
  backoff: Backoff
}

/** Default limits of every request to Auth0. */
export const RETRY_LIMITS: RetryLimits = {
  retries: 4,
  maxElapsedMs: 20_000,
  backoff: { firstMs: 250, maxMs: 2_000 },
}

/**
 * Retries `run` after transient errors. After `AUTH0_UNAVAILABLE` and `AUTH0_MALFORMED_PAGE`, waits with backoff. After
 * `AUTH0_RATE_LIMIT`, does not wait, because `run` delays the next request as the rate limit requires.
 *
 * @throws The error of the last attempt, or `ABORTED` when `signal` aborts.
 */
export async function retry<T>(
  run: () => Promise<T>,
  signal: AbortSignal,
  { retries, maxElapsedMs, backoff }: RetryLimits = RETRY_LIMITS,
): Promise<T> {
  const startedAt = performance.now()
  for (let attempt = 0; ; attempt++) {
    try {
      return await run()
    } catch (error) {
      if (signal.aborted) throw abortedError(error)
      const isLast = attempt >= retries || performance.now() - startedAt > maxElapsedMs
      if (isLast || !isTransient(error)) throw error
      if (error.code !== 'AUTH0_RATE_LIMIT') await backOff(attempt, backoff, signal)
    }
  }
}

function isTransient(error: unknown): error is LastLogoutError {
  return (
    hasCode(error, 'AUTH0_RATE_LIMIT') ||
    hasCode(error, 'AUTH0_UNAVAILABLE') ||
    hasCode(error, 'AUTH0_MALFORMED_PAGE')
  )
}
