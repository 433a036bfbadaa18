import { documentedPerMinute } from './documented-limits.js'
import { DEFAULT_WAIT_MS, MAX_WAIT_MS } from './limit.js'

/** Larger than the rounding error of sums of fractions. */
const EPSILON = 1e-6

/** `Date` and `x-ratelimit-reset` are in whole seconds. */
const SECOND_MS = 1_000

/** The rate limit as one response states it. Times are in milliseconds. */
interface RateResponse {
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

/** Decides when the next request may be sent. Time comes as an argument, in monotonic milliseconds. */
export interface RateLimiter {
  recordSent(now: number): void
  recordResponse(response: RateResponse): void
  /** Records a request that ended without stating the limit: refused, failed, or without the headers. */
  recordLost(): void
  /** When the next request may be sent. Before the first response: at once. */
  readyAt(): number
  /** The part of our bucket that is used, at most 1; `null` while its refill is unknown, as of a window. */
  used(now: number): number | null
}

/** Bounds of the refill of Auth0's bucket, in tokens a millisecond. A minimum above the maximum: no bucket. */
interface Refill {
  min: number
  max: number
}

/**
 * A token bucket of our own within Auth0's, which every caller of the tenant's Management API shares.
 *
 * 1. Size: `share` x `x-ratelimit-limit`, at least 1. A request takes one token when it is sent.
 * 2. Refill: `share` x the documented refill of a bucket of that size. Each response bounds the real one by
 *    what is missing and the time until `x-ratelimit-reset`. Where the size is in no table, or the upper
 *    bound is below the documented refill, the lower bound counts instead.
 * 3. Reserve: a request that would leave less than 1 - `share` of the size to the others waits until Auth0's
 *    bucket is full: until `reset`, or as long as the documented refill takes.
 * 4. Window: bounds that contradict each other while `reset` stands still show a fixed window. Nothing is
 *    refilled before `reset`, so the reserve alone counts. If `reset` moves, the limit was changed: the
 *    bounds begin anew, and our bucket is empty.
 *
 * No wait is longer than a minute, whatever the headers state.
 *
 * Decided by measurement: an earlier limiter inferred the refill from the headers alone, by two models and an
 * estimate of the server's clock, in twice the code. Requests sent of those that a share of 0.5 allows
 * in 50 s (`npm run bench:rate`); neither limiter was ever refused:
 *
 * | limit | inferred | this one |
 * |---|---|---|
 * | 10, refilled at 100 a minute (documented) | 0.986 | 0.986 |
 * | 50, refilled at 16 a second (documented) | 0.969 | 0.998 |
 * | 20, refilled at 5 a second (in no table) | 0.985 | 0.62–0.81 |
 * | 20 per window of 2 s (in no table) | 0.996 | 0.99–1.00 |
 * | 100 per window of 10 s (in no table) | 1.000 | 1.000 |
 *
 * The price: of a limit in no table, what the whole seconds of the headers leave open is not sent. A limit of
 * a documented size that is refilled more slowly, or is a window, is noticed once `reset` is two seconds later
 * than documented.
 *
 * @param share Above 0, at most 1.
 */
export function createRateLimiter(share: number): RateLimiter {
  let refill: Refill = { min: 0, max: Number.POSITIVE_INFINITY }
  let isWindow = false
  let last: (RateResponse & { fullAt: number }) | null = null
  let inFlight = 0
  /** Tokens missing from our bucket at `missingAt`. */
  let missing = 0
  let missingAt = 0
  let ready = Number.NEGATIVE_INFINITY

  const sizeOf = (limit: number) => Math.max(1, share * limit)

  /** In tokens a millisecond; 0: unknown, or of a window. */
  function ourRefill(): number {
    if (last === null || isWindow) return 0
    return share * (documentedRefill(last.limit, refill) ?? refill.min)
  }

  function missingNow(now: number): number {
    return Math.max(0, missing - ourRefill() * Math.max(0, now - missingAt))
  }

  function setMissing(tokens: number, now: number): void {
    missing = tokens
    missingAt = Math.max(missingAt, now)
  }

  function learn(response: RateResponse & { resetAt: number }): void {
    const seen = refillOf(response, last)
    const both = { min: Math.max(refill.min, seen.min), max: Math.min(refill.max, seen.max) }
    const isContradicted = isWindow || both.min > both.max
    const isOtherLimit = last !== null && last.limit !== response.limit
    if (isOtherLimit || (isContradicted && hasMovedEarly(response, last))) {
      isWindow = false
      refill = seen
      setMissing(sizeOf(response.limit), response.receivedAt)
    } else {
      isWindow = isContradicted
      refill = both
    }
  }

  function decide(now: number): void {
    if (last === null) return
    const lacking = missingNow(now) + 1 - sizeOf(last.limit)
    const isEmpty = ourRefill() > 0 && lacking > EPSILON
    const refilledAt = isEmpty ? now + lacking / ourRefill() : now
    const reserve = Math.min((1 - share) * last.limit, last.limit - 1)
    const isReserveTaken = last.remaining - inFlight - 1 < reserve - EPSILON
    const at = isReserveTaken ? Math.max(refilledAt, last.fullAt) : refilledAt
    ready = Math.min(at, now + MAX_WAIT_MS)
  }

  return {
    readyAt: () => ready,

    used(now) {
      if (last === null || ourRefill() === 0) return null
      return Math.min(1, missingNow(now) / sizeOf(last.limit))
    },

    recordSent(now) {
      setMissing(missingNow(now) + 1, now)
      inFlight += 1
      decide(now)
    },

    recordLost() {
      inFlight = Math.max(0, inFlight - 1)
    },

    recordResponse(response) {
      const { limit, resetAt, dateMs, sentAt, receivedAt } = response
      inFlight = Math.max(0, inFlight - 1)
      setMissing(missingNow(receivedAt), receivedAt)
      // Auth0 can have counted requests that overlap in either order.
      const overlapping = last !== null && sentAt < last.receivedAt ? last : null
      if (overlapping === null && resetAt !== null) learn({ ...response, resetAt })
      const remaining = Math.min(response.remaining, overlapping?.remaining ?? limit)
      // A `reset` in the past states nothing.
      const untilReset = resetAt !== null && resetAt > dateMs ? resetAt - dateMs : DEFAULT_WAIT_MS
      const perMs = isWindow ? null : documentedRefill(limit, refill)
      const untilFull = perMs === null ? untilReset : (limit - remaining) / perMs
      last = { ...response, remaining, fullAt: receivedAt + Math.min(untilReset, untilFull) }
      decide(receivedAt)
    },
  }
}

/** Tokens a millisecond; `null`: of this size no refill is documented, or the real one is proven lower. */
function documentedRefill(limit: number, { max }: Refill): number | null {
  const perMinute = documentedPerMinute(limit)
  return perMinute === null || perMinute / 60_000 >= max ? null : perMinute / 60_000
}

/**
 * Bounds the refill by one response and the one before. The request itself is missing, `remaining` is rounded
 * down. What other callers take is missing as well, and makes neither bound wrong.
 */
function refillOf(response: RateResponse & { resetAt: number }, last: RateResponse | null): Refill {
  const { limit, remaining, resetAt, dateMs, sentAt, receivedAt } = response
  const missing = Math.max(1, limit - remaining)
  // Auth0 counts the request after it was sent, and before it writes `Date`.
  const minUntilFull = resetAt - SECOND_MS - (dateMs + SECOND_MS)
  const maxUntilFull = resetAt - dateMs + (receivedAt - sentAt)
  // What is no longer missing has been refilled since the last response.
  const wasMissing = last === null ? 0 : Math.max(1, last.limit - last.remaining - 1)
  const refilled = (wasMissing + 1 - missing) / Math.max(receivedAt - (last?.sentAt ?? 0), EPSILON)
  return {
    min: Math.max(maxUntilFull > 0 ? Math.max(1, missing - 1) / maxUntilFull : 0, refilled),
    max: minUntilFull > 0 ? missing / minUntilFull : Number.POSITIVE_INFINITY,
  }
}

/** Whether `reset` was replaced before it was reached, which no window does. */
function hasMovedEarly({ resetAt, dateMs }: RateResponse, last: RateResponse | null): boolean {
  const lastResetAt = last?.resetAt ?? null
  if (lastResetAt === null || resetAt === lastResetAt) return false
  // A window that begins with a request can end up to a second before a `reset` that is rounded up.
  return dateMs + SECOND_MS <= lastResetAt - SECOND_MS
}
