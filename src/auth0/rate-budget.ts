import { setTimeout as sleep } from 'node:timers/promises'
import { hasCode } from '../errors.js'

/** No answer makes us wait longer than this, in milliseconds. */
const LONGEST_WAIT_MS = 60_000

/** Waits where a header does not say how long, in milliseconds. */
const DEFAULT_WAIT_MS = 1_000

/** Keeps our requests within our share of the tenant's rate limit. */
export interface RateBudget {
  /** Waits until the next request may be sent. */
  wait(signal: AbortSignal): Promise<void>
  /** Reads what an answer says of the limit; every answer says it. */
  observe(status: number, headers: Headers): void
  /** Takes the wait that an error asks for, if it does. */
  refuse(error: unknown): void
}

/**
 * The bucket is shared by everything that calls the tenant's Management API, so we stop at
 * `1 - share` of it and wait until it has been filled again.
 *
 * @see https://auth0.com/docs/troubleshoot/customer-support/operational-policies/rate-limit-policy
 */
export function createRateBudget(share: number): RateBudget {
  let resumeAt = 0
  const pause = (waitMs: number) => {
    if (waitMs > 0) resumeAt = performance.now() + withJitter(Math.min(waitMs, LONGEST_WAIT_MS))
  }

  return {
    async wait(signal) {
      const waitMs = resumeAt - performance.now()
      if (waitMs > 0) await sleep(waitMs, undefined, { signal })
    },
    observe(status, headers) {
      pause(status === 429 ? waitAfterRefusal(headers) : waitWithinShare(headers, share))
    },
    refuse(error) {
      if (hasCode(error, 'AUTH0_RATE_LIMIT')) pause(error.retryAfterMs ?? DEFAULT_WAIT_MS)
    },
  }
}

/** The tenant's rate limit, as an answer tells it. */
export interface RateLimit {
  /** The size of the bucket, in requests. */
  limit: number
  remaining: number
  /** When the bucket is full again; `null`: the answer does not say. */
  resetInMs: number | null
}

/** Reads the headers of the rate limit; `null` where they are missing. */
export function readRateLimit(headers: Headers): RateLimit | null {
  const limit = readNumber(headers, 'x-ratelimit-limit')
  const remaining = readNumber(headers, 'x-ratelimit-remaining')
  return limit === null || remaining === null
    ? null
    : { limit, remaining, resetInMs: readReset(headers) }
}

/** How long to wait after a 429: `retry-after`, else until `x-ratelimit-reset`, in milliseconds. */
export function waitAfterRefusal(headers: Headers): number {
  const told = readRetryAfter(headers) ?? readReset(headers) ?? DEFAULT_WAIT_MS
  // A reset that has just passed still means: not at once.
  return Math.max(told, DEFAULT_WAIT_MS)
}

function waitWithinShare(headers: Headers, share: number): number {
  const seen = readRateLimit(headers)
  if (seen === null || seen.remaining > seen.limit * (1 - share)) return 0
  return seen.resetInMs ?? DEFAULT_WAIT_MS
}

/** RFC 9110 §10.2.3: seconds or a date. */
function readRetryAfter(headers: Headers): number | null {
  const seconds = readNumber(headers, 'retry-after')
  if (seconds !== null) return seconds * 1000
  const at = Date.parse(headers.get('retry-after') ?? '')
  return Number.isNaN(at) ? null : at - readServerTime(headers)
}

/** Milliseconds until the bucket is filled, by the server's clock: the header has Unix seconds. */
function readReset(headers: Headers): number | null {
  const reset = readNumber(headers, 'x-ratelimit-reset')
  return reset === null ? null : reset * 1000 - readServerTime(headers)
}

function readServerTime(headers: Headers): number {
  const date = Date.parse(headers.get('date') ?? '')
  return Number.isNaN(date) ? Date.now() : date
}

function readNumber(headers: Headers, name: string): number | null {
  const value = headers.get(name)
  return value !== null && /^\d+(\.\d+)?$/.test(value) ? Number(value) : null
}

/** Several callers that were told the same time should not all come back at it. */
function withJitter(waitMs: number): number {
  return waitMs * (1 + Math.random() * 0.1)
}
