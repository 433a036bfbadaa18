import { DEFAULT_WAIT_MS, MAX_WAIT_MS, type RateResponse } from './limit.js'
import {
  credibleDocumentedRate,
  narrowRefillRate,
  type RefillRate,
  UNKNOWN_REFILL_RATE,
  usableRefillRate,
} from './refill-rate.js'

/** A tolerance that is larger than the rounding errors of sums of fractions. */
const EPSILON = 1e-6

/**
 * The fraction of our bucket that a search must leave to catch-ups, which are urgent. With Auth0's bucket of 10 and a
 * share of 0.5, a catch-up can then send three requests at once. They read up to 300 entries, which suffices for a
 * tenant with 50 entries per second and a poll every five seconds.
 */
const SPARED_FRACTION = 0.6

/** Decides when the next request may be sent. Every time is in milliseconds of a monotonic clock. */
export interface RateLimiter {
  recordSent(now: number): void
  recordResponse(response: RateResponse): void
  /** Records the end of a request that failed, got a 429, or got a response without the headers of the rate limit. */
  recordEndWithoutLimit(): void
  /** When the next request may be sent. Before the first response, requests may be sent immediately. */
  readyAt(): number
  /** When a search may be sent: {@link SPARED_FRACTION} of our bucket then remains after its request. */
  spareAt(): number
  /**
   * The used fraction of our bucket, from 0 to 1; `null`: the refill rate is unknown, or the limit is a fixed window.
   */
  usedFraction(now: number): number | null
}

/** The state of our own bucket at the time `at`. A refill reduces `tokensTaken`. */
interface Bucket {
  readonly tokensTaken: number
  readonly at: number
}

const FULL_BUCKET: Bucket = { tokensTaken: 0, at: 0 }

/** The last response. `fullAt` is the time at which Auth0's bucket will be full, by our clock. */
type LastResponse = RateResponse & { fullAt: number }

/**
 * Limits requests by our own token bucket. All callers of the tenant's Management API share Auth0's bucket. Our bucket
 * is a part of Auth0's bucket.
 *
 * 1. Size: our bucket contains `share` × `x-ratelimit-limit` tokens, at least 1. Each request takes one token when it
 *    is sent.
 * 2. Refill: our refill rate is `share` × the documented rate for the size of Auth0's bucket. Each response also bounds
 *    the real rate, by the tokens taken and the time until `x-ratelimit-reset`. If no rate is documented, or the upper
 *    bound is below the documented rate, the lower bound is used as the rate.
 * 3. Reserve: 1 - `share` of Auth0's bucket is left to other callers. A request that would use this reserve waits until
 *    Auth0's bucket is full. That bucket is full at `reset`, or earlier if the documented rate implies so.
 * 4. Window: if the bounds contradict each other and `reset` does not change, the limit is a fixed window. In a fixed
 *    window there is no refill before `reset`, so only the reserve limits requests. If `reset` changes early, the limit
 *    of the tenant was changed. Then the old bounds are discarded, and our bucket is empty.
 *
 * No wait is longer than a minute.
 *
 * An earlier limiter inferred the refill rate from the headers alone, with two models and twice the code. The table
 * shows the fraction of the allowed requests that each limiter sends in 50 s, with a share of 0.5 (`npm run
 * bench:rate`). Auth0's limit refused no request of either limiter.
 *
 * | limit | earlier limiter | this limiter |
 * |---|---|---|
 * | 10, refilled at 100 a minute (documented) | 0.986 | 0.986 |
 * | 50, refilled at 16 a second (documented) | 0.969 | 0.998 |
 * | 20, refilled at 5 a second (not documented) | 0.985 | 0.62–0.81 |
 * | 20 per window of 2 s (not documented) | 0.996 | 0.99–1.00 |
 * | 100 per window of 10 s (not documented) | 1.000 | 1.000 |
 *
 * This limiter has two disadvantages:
 *
 * - If no rate is documented for a size, it sends fewer requests than allowed, because the headers contain whole
 *   seconds.
 * - If a bucket of a documented size is refilled more slowly than documented, or its limit is a fixed window, this
 *   limiter detects that only when `reset` is two seconds later than documented.
 *
 * @param share The fraction of Auth0's bucket that our bucket has: above 0, at most 1.
 */
export function createRateLimiter(share: number): RateLimiter {
  let bucket = FULL_BUCKET
  let refillRate = UNKNOWN_REFILL_RATE
  let last: LastResponse | null = null
  let inFlight = 0
  let readyAt = Number.NEGATIVE_INFINITY
  let spareAt = Number.NEGATIVE_INFINITY

  const ourRefillRate = () => (last === null ? 0 : share * usableRefillRate(last.limit, refillRate))
  const bucketAt = (now: number) => refillBucket(bucket, now, ourRefillRate())

  function updateReadyAt(now: number): void {
    if (last === null) return
    const state = { bucket: bucketAt(now), perMs: ourRefillRate(), last, inFlight }
    readyAt = sendableAt(state, share, 0)
    spareAt = sendableAt(state, share, sparedTokens(bucketSizeOf(last.limit, share)))
  }

  return {
    readyAt: () => readyAt,
    spareAt: () => spareAt,

    usedFraction(now) {
      if (last === null || ourRefillRate() === 0) return null
      return Math.min(1, bucketAt(now).tokensTaken / bucketSizeOf(last.limit, share))
    },

    recordSent(now) {
      const { tokensTaken, at } = bucketAt(now)
      bucket = { tokensTaken: tokensTaken + 1, at }
      inFlight += 1
      updateReadyAt(now)
    },

    recordEndWithoutLimit() {
      inFlight = Math.max(0, inFlight - 1)
    },

    recordResponse(response) {
      const { limit, resetAt, sentAt, receivedAt } = response
      inFlight = Math.max(0, inFlight - 1)
      bucket = bucketAt(receivedAt)
      // This request and the last one overlap if it was sent before the last response. Auth0 can have counted them in
      // either order, so they prove no bounds of the refill rate, and the smaller `remaining` of both is used.
      const overlappingResponse = last !== null && sentAt < last.receivedAt ? last : null
      if (overlappingResponse === null && resetAt !== null) {
        const narrowed = narrowRefillRate(refillRate, { ...response, resetAt }, last)
        refillRate = narrowed.refillRate
        if (narrowed.isNewLimit) bucket = { ...bucket, tokensTaken: bucketSizeOf(limit, share) }
      }
      const remaining = Math.min(response.remaining, overlappingResponse?.remaining ?? limit)
      last = withFullAt({ ...response, remaining }, refillRate)
      updateReadyAt(receivedAt)
    },
  }
}

function bucketSizeOf(limit: number, share: number): number {
  return Math.max(1, share * limit)
}

/** Returns how many tokens a search leaves. In a bucket of one token, this is 0. */
function sparedTokens(size: number): number {
  return Math.min(SPARED_FRACTION * size, size - 1)
}

function refillBucket({ tokensTaken, at }: Bucket, now: number, perMs: number): Bucket {
  return {
    tokensTaken: Math.max(0, tokensTaken - perMs * Math.max(0, now - at)),
    at: Math.max(at, now),
  }
}

/** Returns when the bucket contains a token again. If the refill rate is unknown, the bucket delays no request. */
function nextTokenAt({ tokensTaken, at }: Bucket, size: number, perMs: number): number {
  const tokensLacking = tokensTaken + 1 - size
  return perMs > 0 && tokensLacking > EPSILON ? at + tokensLacking / perMs : at
}

/** Returns when a request that leaves `spared` tokens of our bucket may be sent. */
function sendableAt(
  {
    bucket,
    perMs,
    last,
    inFlight,
  }: { bucket: Bucket; perMs: number; last: LastResponse; inFlight: number },
  share: number,
  spared: number,
): number {
  const refilledAt = nextTokenAt(bucket, bucketSizeOf(last.limit, share) - spared, perMs)
  const usesReserve = wouldUseReserve(last, inFlight + spared, share)
  const at = usesReserve ? Math.max(refilledAt, last.fullAt) : refilledAt
  return Math.min(at, bucket.at + MAX_WAIT_MS)
}

/**
 * Whether the next request would use the reserve, the part of Auth0's bucket for the tenant's other callers. `pledged`
 * tokens are not available to the request: other requests in flight take them, or the request must leave them.
 */
function wouldUseReserve(last: RateResponse, pledged: number, share: number): boolean {
  const reserve = Math.min((1 - share) * last.limit, last.limit - 1)
  return last.remaining - pledged - 1 < reserve - EPSILON
}

/** Adds `fullAt` to a response. */
function withFullAt(response: RateResponse, refillRate: RefillRate): LastResponse {
  const { limit, remaining, resetAt, dateMs, receivedAt } = response
  // A `reset` in the past does not show when the bucket will be full.
  const untilResetMs = resetAt !== null && resetAt > dateMs ? resetAt - dateMs : DEFAULT_WAIT_MS
  const perMs = credibleDocumentedRate(limit, refillRate)
  const untilFullMs = perMs === null ? untilResetMs : (limit - remaining) / perMs
  return { ...response, fullAt: receivedAt + Math.min(untilResetMs, untilFullMs) }
}
