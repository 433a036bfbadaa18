import { setTimeout as sleep } from 'node:timers/promises'
import { hasCode, LastLogoutError } from '../../errors.js'
import {
  DEFAULT_WAIT_MS,
  LONGEST_WAIT_MS,
  type RateLimit,
  readRateLimit,
  readServerTime,
  waitAfterRefusal,
} from './limit.js'
import { createRatePace } from './pace.js'

/** One request to the log, as it ended. */
export interface LogAnswer {
  /** `null`: there was no answer. */
  status: number | null
  /** From sending it to the end of its answer. */
  durationMs: number
  /** `null` where the answer does not tell it. */
  rateLimit: RateLimit | null
  /** How long it was held back before it was sent. */
  waitedMs: number
  /** The part of what we may send at once that was used with it, at most 1; `null`: not known. */
  budgetUsed: number | null
}

/** What the budget is kept with. */
export interface RateBudgetOptions {
  /** Our share of the tenant's rate limit: above 0, at most 1. */
  share: number
  /** Told of every request, answered or not, that we did not give up. */
  observe?: (answer: LogAnswer) => void
}

/** Keeps our requests within our share of the tenant's rate limit. */
export interface RateBudget {
  /** Sends when it may be sent; what it throws is thrown. */
  send<T extends { status: number; headers: Headers }>(
    request: () => Promise<T>,
    signal: AbortSignal,
  ): Promise<T>
}

/**
 * The limit is shared by everything that calls the tenant's Management API. Requests are counted when
 * they are sent: the next may be on its way before the last is answered.
 *
 * @see https://auth0.com/docs/troubleshoot/customer-support/operational-policies/rate-limit-policy
 */
export function createRateBudget({ share, observe }: RateBudgetOptions): RateBudget {
  const pace = createRatePace(share)
  const pause = createPause()

  async function wait(signal: AbortSignal): Promise<void> {
    // Another request may have been sent, or refused, meanwhile.
    for (;;) {
      await pause.wait(signal)
      const waitMs = pace.readyAt() - performance.now()
      if (waitMs <= 0) return
      await sleep(waitMs, undefined, { signal })
    }
  }

  return {
    async send(request, signal) {
      const calledAt = performance.now()
      await wait(signal)
      const sentAt = performance.now()
      pace.sent(sentAt)
      const budgetUsed = pace.used(sentAt)
      const tell = (status: number | null, rateLimit: RateLimit | null) => {
        const durationMs = performance.now() - sentAt
        observe?.({ status, durationMs, rateLimit, waitedMs: sentAt - calledAt, budgetUsed })
      }
      const answer = await request().catch((error) => {
        pace.lost()
        pause.refuse(error)
        // One that we gave up says nothing of Auth0.
        if (!hasCode(error, 'ABORTED')) {
          tell(error instanceof LastLogoutError ? (error.status ?? null) : null, null)
        }
        throw error
      })
      const { status, headers } = answer
      const rateLimit = readRateLimit(headers)
      const dateMs = readServerTime(headers)
      const refused = status === 429
      // A refusal took nothing, and says itself how long to wait.
      if (rateLimit === null || refused) pace.lost()
      else {
        const resetAt = rateLimit.resetInMs === null ? null : dateMs + rateLimit.resetInMs
        const receivedAt = performance.now()
        pace.answered({ ...rateLimit, resetAt, dateMs, sentAt, receivedAt })
      }
      if (refused) pause.begin(waitAfterRefusal(headers))
      tell(status, rateLimit)
      return answer
    },
  }
}

/** Waits as long as a refusal asks for. */
export interface Pause {
  wait(signal: AbortSignal): Promise<void>
  begin(waitMs: number): void
  /** Takes the wait that an error asks for, if it does. */
  refuse(error: unknown): void
}

/** For all requests that are sent through it. */
export function createPause(): Pause {
  let endsAt = 0
  const begin = (waitMs: number) => {
    endsAt = performance.now() + withJitter(Math.min(waitMs, LONGEST_WAIT_MS))
  }

  return {
    begin,
    async wait(signal) {
      const waitMs = endsAt - performance.now()
      if (waitMs > 0) await sleep(waitMs, undefined, { signal })
    },
    refuse(error) {
      if (hasCode(error, 'AUTH0_RATE_LIMIT')) begin(error.retryAfterMs ?? DEFAULT_WAIT_MS)
    },
  }
}

/** Several callers that were told the same time should not all come back at it. */
function withJitter(waitMs: number): number {
  return waitMs * (1 + Math.random() * 0.1)
}
