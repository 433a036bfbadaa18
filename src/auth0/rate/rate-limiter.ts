import { DEFAULT_WAIT_MS, MAX_WAIT_MS, type RateResponse } from './limit.js'
import {
  documentedRefill,
  learnRefill,
  type Refill,
  refillPerMs,
  UNKNOWN_REFILL,
} from './refill.js'

/** Larger than the rounding error of sums of fractions. */
const EPSILON = 1e-6

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

/** Our own bucket: the tokens that are missing from it, at an instant. */
interface Bucket {
  readonly missing: number
  readonly at: number
}

const FULL_BUCKET: Bucket = { missing: 0, at: 0 }

/** The last response, and when Auth0's bucket is full after it, by our clock. */
type LastResponse = RateResponse & { fullAt: number }

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
  let bucket = FULL_BUCKET
  let refill = UNKNOWN_REFILL
  let last: LastResponse | null = null
  let inFlight = 0
  let readyAt = Number.NEGATIVE_INFINITY

  const ourRefill = () => (last === null ? 0 : share * refillPerMs(last.limit, refill))
  const bucketAt = (now: number) => refillBucket(bucket, now, ourRefill())

  function decide(now: number): void {
    if (last === null) return
    const refilledAt = tokenAt(bucketAt(now), sizeOf(last.limit, share), ourRefill())
    const at = isReserveTaken(last, inFlight, share)
      ? Math.max(refilledAt, last.fullAt)
      : refilledAt
    readyAt = Math.min(at, now + MAX_WAIT_MS)
  }

  return {
    readyAt: () => readyAt,

    used(now) {
      if (last === null || ourRefill() === 0) return null
      return Math.min(1, bucketAt(now).missing / sizeOf(last.limit, share))
    },

    recordSent(now) {
      const { missing, at } = bucketAt(now)
      bucket = { missing: missing + 1, at }
      inFlight += 1
      decide(now)
    },

    recordLost() {
      inFlight = Math.max(0, inFlight - 1)
    },

    recordResponse(response) {
      const { limit, resetAt, sentAt, receivedAt } = response
      inFlight = Math.max(0, inFlight - 1)
      bucket = bucketAt(receivedAt)
      // Auth0 can have counted requests that overlap in either order.
      const overlapping = last !== null && sentAt < last.receivedAt ? last : null
      if (overlapping === null && resetAt !== null) {
        const learnt = learnRefill(refill, { ...response, resetAt }, last)
        refill = learnt.refill
        if (learnt.isNewLimit) bucket = { ...bucket, missing: sizeOf(limit, share) }
      }
      const remaining = Math.min(response.remaining, overlapping?.remaining ?? limit)
      last = withFullAt({ ...response, remaining }, refill)
      decide(receivedAt)
    },
  }
}

function sizeOf(limit: number, share: number): number {
  return Math.max(1, share * limit)
}

function refillBucket({ missing, at }: Bucket, now: number, perMs: number): Bucket {
  return {
    missing: Math.max(0, missing - perMs * Math.max(0, now - at)),
    at: Math.max(at, now),
  }
}

/** When the bucket holds a token. A bucket whose refill is unknown delays nothing. */
function tokenAt({ missing, at }: Bucket, size: number, perMs: number): number {
  const lacking = missing + 1 - size
  return perMs > 0 && lacking > EPSILON ? at + lacking / perMs : at
}

/** Whether the next request would take what is left to the tenant's other callers. */
function isReserveTaken(last: RateResponse, inFlight: number, share: number): boolean {
  const reserve = Math.min((1 - share) * last.limit, last.limit - 1)
  return last.remaining - inFlight - 1 < reserve - EPSILON
}

function withFullAt(response: RateResponse, refill: Refill): LastResponse {
  const { limit, remaining, resetAt, dateMs, receivedAt } = response
  // A `reset` in the past states nothing.
  const untilReset = resetAt !== null && resetAt > dateMs ? resetAt - dateMs : DEFAULT_WAIT_MS
  const perMs = documentedRefill(limit, refill)
  const untilFull = perMs === null ? untilReset : (limit - remaining) / perMs
  return { ...response, fullAt: receivedAt + Math.min(untilReset, untilFull) }
}
