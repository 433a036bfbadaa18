import { setTimeout as sleep } from 'node:timers/promises'
import { abortedError, hasCode, LastLogoutError } from '../../errors.js'
import type { LogRequest } from '../../measurements.js'
import { type RateLimit, readRateLimit, readServerTime, waitAfterRefusal } from './limit.js'
import { createPause } from './pause.js'
import { createRateLimiter } from './rate-limiter.js'

/** Options of {@link createRateBudget}. */
export interface RateBudgetOptions {
  /** The share of the tenant's rate limit that last-logout may use: above 0, at most 1. */
  share: number
  /** Called after every request, even if there was no response. Not called after an aborted request. */
  observe?: (request: LogRequest) => void
}

/** Keeps the requests of last-logout within its share of the tenant's rate limit. */
export interface RateBudget {
  /** Sends the request as soon as the budget allows it. Rethrows the errors of `request`. */
  send<T extends { status: number; headers: Headers }>(
    request: () => Promise<T>,
    signal: AbortSignal,
  ): Promise<T>
  /**
   * Waits until a search would leave enough of our bucket to catch-ups. Returns false if this is not the case
   * after `maxWaitMs`.
   *
   * @throws `ABORTED` when `signal` aborts.
   */
  awaitSpare(maxWaitMs: number, signal: AbortSignal): Promise<boolean>
}

/**
 * Creates a budget that delays requests by a {@link createRateLimiter | rate limiter}. After a 429, delays all requests
 * as long as the response requires. The limiter counts a request when it is sent, so requests can overlap.
 *
 * @see https://auth0.com/docs/troubleshoot/customer-support/operational-policies/rate-limit-policy
 */
export function createRateBudget({ share, observe }: RateBudgetOptions): RateBudget {
  const limiter = createRateLimiter(share)
  const pause = createPause()

  /** Waits until the time that `readyAt` returns. Returns false if this time is not reached within `maxWaitMs`. */
  async function wait(readyAt: () => number, signal: AbortSignal, maxWaitMs = Infinity) {
    const giveUpAt = performance.now() + maxWaitMs
    // During a wait, other requests can change `readyAt` or begin a pause, so each wait is followed by another check.
    for (;;) {
      const now = performance.now()
      const waitMs = Math.max(pause.endsAt(), readyAt()) - now
      if (waitMs <= 0) return true
      if (now >= giveUpAt) return false
      await sleep(Math.min(waitMs, giveUpAt - now), undefined, { signal }).catch((error) => {
        throw abortedError(error)
      })
    }
  }

  return {
    awaitSpare: (maxWaitMs, signal) => wait(limiter.spareAt, signal, maxWaitMs),

    async send(request, signal) {
      const calledAt = performance.now()
      await wait(limiter.readyAt, signal)
      const sentAt = performance.now()
      limiter.recordSent(sentAt)
      const budgetUsed = limiter.usedFraction(sentAt)
      const report = (status: number | null, rateLimit: RateLimit | null) => {
        const durationMs = performance.now() - sentAt
        observe?.({ status, durationMs, rateLimit, waitedMs: sentAt - calledAt, budgetUsed })
      }
      const response = await request().catch((error) => {
        limiter.recordEndWithoutLimit()
        pause.beginIfRateLimited(error)
        // An aborted request is no measurement of Auth0.
        if (!hasCode(error, 'ABORTED')) {
          report(error instanceof LastLogoutError ? (error.status ?? null) : null, null)
        }
        throw error
      })
      const { status, headers } = response
      const rateLimit = readRateLimit(headers)
      const isRefused = status === 429
      // A 429 took no token from Auth0's bucket, so the limiter ignores its headers.
      if (rateLimit === null || isRefused) limiter.recordEndWithoutLimit()
      else {
        const dateMs = readServerTime(headers)
        const resetAt = rateLimit.resetInMs === null ? null : dateMs + rateLimit.resetInMs
        const receivedAt = performance.now()
        limiter.recordResponse({ ...rateLimit, resetAt, dateMs, sentAt, receivedAt })
      }
      if (isRefused) pause.begin(waitAfterRefusal(headers))
      report(status, rateLimit)
      return response
    },
  }
}
