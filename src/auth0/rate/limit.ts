/** No answer makes us wait longer than this, in milliseconds. */
export const LONGEST_WAIT_MS = 60_000

/** Waits where a header does not say how long, in milliseconds. */
export const DEFAULT_WAIT_MS = 1_000

/** The tenant's rate limit, as an answer tells it. */
export interface RateLimit {
  /** The size of the bucket, in requests. */
  limit: number
  remaining: number
  /** When the bucket is full again; `null`: the answer does not say. */
  resetInMs: number | null
}

/** No bucket takes longer to fill, in milliseconds: what is said to is nonsense. */
const LONGEST_RESET_MS = 86_400_000

/** Reads the headers of the rate limit; `null` where they are missing or nonsense. */
export function readRateLimit(headers: Headers): RateLimit | null {
  const limit = readNumber(headers, 'x-ratelimit-limit')
  const remaining = readNumber(headers, 'x-ratelimit-remaining')
  if (limit === null || limit < 1 || limit > Number.MAX_SAFE_INTEGER || remaining === null)
    return null
  return { limit, remaining: Math.min(remaining, limit), resetInMs: readReset(headers) }
}

/** How long to wait after a 429: `retry-after`, else until `x-ratelimit-reset`, in milliseconds. */
export function waitAfterRefusal(headers: Headers): number {
  const told = readRetryAfter(headers) ?? readReset(headers) ?? DEFAULT_WAIT_MS
  // A reset that has just passed still means: not at once.
  return Math.max(told, DEFAULT_WAIT_MS)
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
  const resetInMs = reset === null ? Number.NaN : reset * 1000 - readServerTime(headers)
  return Math.abs(resetInMs) <= LONGEST_RESET_MS ? resetInMs : null
}

/** The answer's `Date`, in whole seconds; by our clock where it has none. */
export function readServerTime(headers: Headers): number {
  const date = Date.parse(headers.get('date') ?? '')
  return Number.isNaN(date) ? Math.floor(Date.now() / 1000) * 1000 : date
}

function readNumber(headers: Headers, name: string): number | null {
  const value = headers.get(name)
  return value !== null && /^\d+(\.\d+)?$/.test(value) ? Number(value) : null
}
