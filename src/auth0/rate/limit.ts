import { readHttpDate } from '../http-date.js'

/** Upper bound of every wait for the rate limit, in milliseconds. It applies whatever the headers state. */
export const MAX_WAIT_MS = 60_000

/** The wait if the headers state none, and the minimum wait after a 429, in milliseconds. */
export const DEFAULT_WAIT_MS = 1_000

/** The tenant's rate limit, as a response states it. */
export interface RateLimit {
  /** The size of the bucket, in requests. */
  limit: number
  remaining: number
  /** The time until the bucket is full again; `null`: the response does not state it. */
  resetInMs: number | null
}

/** The rate limit that a response states, and the times of the response, in milliseconds. */
export interface RateResponse {
  limit: number
  remaining: number
  /**
   * When the bucket is full or the window ends, by Auth0's clock, rounded up to a second; `null`: the response does
   * not state it.
   */
  resetAt: number | null
  /** The `Date` of the response, rounded down to a second. */
  dateMs: number
  /** When the request was sent, by our monotonic clock. */
  sentAt: number
  /** When the response was received, by our monotonic clock. */
  receivedAt: number
}

/** Maximum time between now and a valid `reset`, in milliseconds. */
const MAX_RESET_MS = 86_400_000

/** Reads the `x-ratelimit-*` headers. Returns `null` if they are missing or invalid. */
export function readRateLimit(headers: Headers): RateLimit | null {
  const limit = readNumber(headers, 'x-ratelimit-limit')
  const remaining = readNumber(headers, 'x-ratelimit-remaining')
  if (limit === null || limit < 1 || limit > Number.MAX_SAFE_INTEGER || remaining === null)
    return null
  return { limit, remaining: Math.min(remaining, limit), resetInMs: readReset(headers) }
}

/** Returns the wait after a 429, in milliseconds: `retry-after`, else until `x-ratelimit-reset`; at least a second. */
export function waitAfterRefusal(headers: Headers): number {
  const statedMs = readRetryAfter(headers) ?? readReset(headers) ?? DEFAULT_WAIT_MS
  // A reset that has just passed does not allow a retry at once.
  return Math.max(statedMs, DEFAULT_WAIT_MS)
}

/**
 * Reads the wait from `retry-after`, in milliseconds. The header holds seconds or a date (RFC 9110 §10.2.3).
 */
function readRetryAfter(headers: Headers): number | null {
  const seconds = readNumber(headers, 'retry-after')
  if (seconds !== null) return seconds * 1000
  const at = readHttpDate(headers, 'retry-after')
  return at === null ? null : at - readServerTime(headers)
}

/** Milliseconds until `x-ratelimit-reset`, by the server's clock. The header holds Unix seconds. */
function readReset(headers: Headers): number | null {
  const reset = readNumber(headers, 'x-ratelimit-reset')
  const resetInMs = reset === null ? Number.NaN : reset * 1000 - readServerTime(headers)
  return Math.abs(resetInMs) <= MAX_RESET_MS ? resetInMs : null
}

/** Reads the `Date` of the response; if there is none, returns the time by our clock, rounded down to a second. */
export function readServerTime(headers: Headers): number {
  return readHttpDate(headers, 'date') ?? Math.floor(Date.now() / 1000) * 1000
}

function readNumber(headers: Headers, name: string): number | null {
  const value = headers.get(name)
  return value !== null && /^\d+(\.\d+)?$/.test(value) ? Number(value) : null
}
