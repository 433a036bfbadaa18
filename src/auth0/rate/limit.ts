import { readHttpDate } from '../http-date.js'

/**
 * Upper bound of every wait for the rate limit, in milliseconds. It also applies if the headers require a longer wait.
 */
export const MAX_WAIT_MS = 60_000

/** The wait if the headers contain none, and the minimum wait after a 429, in milliseconds. */
export const DEFAULT_WAIT_MS = 1_000

/** The tenant's rate limit, read from the headers of a response. */
export interface RateLimit {
  /** The size of Auth0's token bucket, in requests. Each request takes a token, and Auth0 refills the bucket. */
  limit: number
  remaining: number
  /** The time until the bucket is full again, in milliseconds; `null`: the headers do not contain it. */
  resetInMs: number | null
}

/** The rate limit in a response, and the times of the response. Every time is in milliseconds. */
export interface RateResponse {
  limit: number
  remaining: number
  /**
   * When the bucket is full, or when the fixed window of the limit ends, by Auth0's clock, rounded up to a second;
   * `null`: the headers do not contain it.
   */
  resetAt: number | null
  /** The header `Date` of the response, rounded down to a second. */
  dateMs: number
  /** When the request was sent, by our monotonic clock. */
  sentAt: number
  /** When the response was received, by our monotonic clock. */
  receivedAt: number
}

/** Maximum time from now to a valid `x-ratelimit-reset`, in milliseconds. */
const MAX_RESET_MS = 86_400_000

/** Reads the `x-ratelimit-*` headers. Returns `null` if they are missing or invalid. */
export function readRateLimit(headers: Headers): RateLimit | null {
  const limit = readNumber(headers, 'x-ratelimit-limit')
  const remaining = readNumber(headers, 'x-ratelimit-remaining')
  if (limit === null || limit < 1 || limit > Number.MAX_SAFE_INTEGER || remaining === null)
    return null
  return { limit, remaining: Math.min(remaining, limit), resetInMs: readReset(headers) }
}

/**
 * Returns the wait after a 429, in milliseconds, at least a second. It is `retry-after`, or else the time until
 * `x-ratelimit-reset`.
 */
export function waitAfterRefusal(headers: Headers): number {
  const statedMs = readRetryAfter(headers) ?? readReset(headers) ?? DEFAULT_WAIT_MS
  // A `reset` in the past does not allow an immediate retry.
  return Math.max(statedMs, DEFAULT_WAIT_MS)
}

/** Reads `retry-after`, which contains seconds or a date (RFC 9110 §10.2.3). Returns milliseconds. */
function readRetryAfter(headers: Headers): number | null {
  const seconds = readNumber(headers, 'retry-after')
  if (seconds !== null) return seconds * 1000
  const at = readHttpDate(headers, 'retry-after')
  return at === null ? null : at - readServerTime(headers)
}

/**
 * Reads `x-ratelimit-reset`, which contains Unix seconds. Returns the milliseconds until that time, by the server's
 * clock. Returns `null` if the header is missing or invalid.
 */
function readReset(headers: Headers): number | null {
  const reset = readNumber(headers, 'x-ratelimit-reset')
  if (reset === null) return null
  const resetInMs = reset * 1000 - readServerTime(headers)
  return Math.abs(resetInMs) <= MAX_RESET_MS ? resetInMs : null
}

/** Reads the header `Date`. Without this header, returns the time of our clock, rounded down to a second. */
export function readServerTime(headers: Headers): number {
  return readHttpDate(headers, 'date') ?? Math.floor(Date.now() / 1000) * 1000
}

function readNumber(headers: Headers, name: string): number | null {
  const value = headers.get(name)
  return value !== null && /^\d+(\.\d+)?$/.test(value) ? Number(value) : null
}
