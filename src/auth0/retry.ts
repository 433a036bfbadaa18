import { type Backoff, backOff } from '../backoff.js'
import { aborted, hasCode, type LastLogoutError } from '../errors.js'

/** A question is asked again so often, and for so long, before the caller is told, in milliseconds. */
const RETRIES = 4
const RETRY_FOR_MS = 20_000

const BACKOFF: Backoff = { firstMs: 250, maxMs: 2_000 }

/** Faults that pass are asked again, later each time; the last one is the caller's. */
export async function retry<T>(run: () => Promise<T>, signal: AbortSignal): Promise<T> {
  const startedAt = performance.now()
  for (let attempt = 0; ; attempt++) {
    try {
      return await run()
    } catch (error) {
      if (signal.aborted) throw aborted(error)
      const isLast = attempt >= RETRIES || performance.now() - startedAt > RETRY_FOR_MS
      if (isLast || !isPassing(error)) throw error
      // A rate limit's wait is kept by the budget, for the next question too.
      if (error.code !== 'AUTH0_RATE_LIMIT') await backOff(attempt, BACKOFF, signal)
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
