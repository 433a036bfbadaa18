import { readHttpDate } from '../http-date.js'

/** Upper bound of every wait for the rate limit, whatever the headers state, in milliseconds. */
export const MAX_WAIT_MS = 60_000

/** The wait where the headers do not state one, and the shortest after a 429, in milliseconds. */
export const DEFAULT_WAIT_MS = 1_000

/** The tenant's rate limit, as a response states it. */
export interface RateLimit {
  /** The size of the bucket, in requests. */
  limit: number
  remaining: number
  /** When the bucket is full again; `null`: not stated. */
  resetInMs: number | null
}

/** The rate limit of one response, and its times in milliseconds. */
export interface RateResponse {
  limit: number
  remaining: number
  /** When the bucket is full or the window ends, by Auth0's clock, rounded up; `null`: not stated. */
  resetAt: number | null
  /** The `Date` of the response, rounded down. */
  dateMs: number
  /** These two by a monotonic clock of ours. */
  sentAt: number
  receivedAt: number
}

/** A `reset` that is further away than this is invalid, in milliseconds. */
const MAX_RESET_MS = 86_400_000

/** Reads the `x-ratelimit-*` headers; `null` where they are missing or invalid. */
export function readRateLimit(headers: Headers): RateLimit | null {
  const limit = readNumber(headers, 'x-ratelimit-limit')
  const remaining = readNumber(headers, 'x-ratelimit-remaining')
  if (limit === null || limit < 1 || limit > Number.MAX_SAFE_INTEGER || remaining === null)
    return null
  return { limit, remaining: Math.min(remaining, limit), resetInMs: readReset(headers) }
}

/** The wait after a 429, in milliseconds: `retry-after`, else until `x-ratelimit-reset`, at least a second. */
export function waitAfterRefusal(headers: Headers): number {
  const statedMs = readRetryAfter(headers) ?? readReset(headers) ?? DEFAULT_WAIT_MS
  // A reset that has just passed does not allow a retry at once.
  return Math.max(statedMs, DEFAULT_WAIT_MS)
}

/** RFC 9110 §10.2.3: seconds or a date. */
function readRetryAfter(headers: Headers): number | null {
  const seconds = readNumber(headers, 'retry-after')
  if (seconds !== null) return seconds * 1000
  const at = readHttpDate(headers, 'retry-after')
  return at === null ? null : at - readServerTime(headers)
}

/** Milliseconds until `reset`, which is in Unix seconds, by the server's clock. */
function readReset(headers: Headers): number | null {
  const reset = readNumber(headers, 'x-ratelimit-reset')
  const resetInMs = reset === null ? Number.NaN : reset * 1000 - readServerTime(headers)
  return Math.abs(resetInMs) <= MAX_RESET_MS ? resetInMs : null
}

/** The `Date` of the response, in whole seconds; where it has none, the time by our clock. */
export function readServerTime(headers: Headers): number {
  return readHttpDate(headers, 'date') ?? Math.floor(Date.now() / 1000) * 1000
}

function readNumber(headers: Headers, name: string): number | null {
  const value = headers.get(name)
  return value !== null && /^\d+(\.\d+)?$/.test(value) ? Number(value) : null
}
