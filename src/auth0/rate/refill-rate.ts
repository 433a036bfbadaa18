import { documentedRefillPerMinute } from './documented-limits.js'
import type { RateResponse } from './limit.js'

/** The precision of the response headers `Date` and `x-ratelimit-reset`, in milliseconds. */
const SECOND_MS = 1_000

/** Lower bound of the time between two requests, in milliseconds. Prevents a division by 0. */
const MIN_INTERVAL_MS = 1e-6

/** Bounds of the refill rate of Auth0's bucket, in tokens per millisecond. */
interface RefillBounds {
  min: number
  max: number
}

/**
 * What is known about the refill of Auth0's bucket: bounds of the refill rate, or `window` if the limit is a fixed
 * window. In a fixed window there is no refill before the time in `x-ratelimit-reset`.
 */
export type RefillRate = RefillBounds | 'window'

/** A response that contains the time at which the bucket is full or the window ends. */
type ResetResponse = RateResponse & { resetAt: number }

/** The bounds before the first response: every rate is possible. */
export const UNKNOWN_REFILL_RATE: RefillRate = { min: 0, max: Number.POSITIVE_INFINITY }

/**
 * Returns the refill rate to use, in tokens per millisecond. It is 0 if the rate is unknown or the limit is a fixed
 * window.
 */
export function usableRefillRate(limit: number, refillRate: RefillRate): number {
  if (refillRate === 'window') return 0
  return credibleDocumentedRate(limit, refillRate) ?? refillRate.min
}

/**
 * Returns the documented refill rate of a bucket, in tokens per millisecond. Returns `null` if no rate is documented
 * for this size, or if the responses prove that the real rate is lower.
 */
export function credibleDocumentedRate(limit: number, refillRate: RefillRate): number | null {
  const perMinute = documentedRefillPerMinute(limit)
  if (perMinute === null || refillRate === 'window') return null
  const perMs = perMinute / 60_000
  return perMs < refillRate.max ? perMs : null
}

/**
 * Narrows the known bounds of the refill rate by the bounds that a response proves.
 *
 * @returns The narrowed bounds. If `isNewLimit` is true, the limit of the tenant was changed, and the bounds that were
 *   known before are discarded.
 */
export function narrowRefillRate(
  knownRate: RefillRate,
  response: ResetResponse,
  last: RateResponse | null,
): { refillRate: RefillRate; isNewLimit: boolean } {
  const provenBounds = boundsOf(response, last)
  const refillRate = knownRate === 'window' ? knownRate : intersect(knownRate, provenBounds)
  const hasNewSize = last !== null && last.limit !== response.limit
  const isNewLimit =
    hasNewSize || (refillRate === 'window' && wasResetReplacedEarly(response, last))
  return { refillRate: isNewLimit ? provenBounds : refillRate, isNewLimit }
}

/** Intersects two bounds. Bounds that contradict each other prove a fixed window. */
function intersect(a: RefillBounds, b: RefillBounds): RefillRate {
  const min = Math.max(a.min, b.min)
  const max = Math.min(a.max, b.max)
  return min > max ? 'window' : { min, max }
}

/**
 * Calculates bounds of the refill rate from a response and the previous response. The request itself has taken a token,
 * and Auth0 rounds `remaining` down. The bounds are also correct if other callers take tokens.
 */
function boundsOf(response: ResetResponse, last: RateResponse | null): RefillBounds {
  const { limit, remaining, resetAt, dateMs, sentAt, receivedAt } = response
  const tokensTaken = Math.max(1, limit - remaining)
  // Auth0 takes the token between the sending of the request and the header `Date`.
  const minUntilFullMs = resetAt - SECOND_MS - (dateMs + SECOND_MS)
  const maxUntilFullMs = resetAt - dateMs + (receivedAt - sentAt)
  // Before this request, at least so many tokens were missing: those of the last response, less one because of rounding.
  const minTokensTakenBefore = last === null ? 0 : Math.max(1, last.limit - last.remaining - 1)
  const elapsedMs = Math.max(receivedAt - (last?.sentAt ?? 0), MIN_INTERVAL_MS)
  // This request has taken one more token. If fewer tokens are missing now, the difference was refilled.
  const observedRate = (minTokensTakenBefore + 1 - tokensTaken) / elapsedMs
  const minRate = maxUntilFullMs > 0 ? Math.max(1, tokensTaken - 1) / maxUntilFullMs : 0
  const maxRate = minUntilFullMs > 0 ? tokensTaken / minUntilFullMs : Number.POSITIVE_INFINITY
  return { min: Math.max(minRate, observedRate), max: maxRate }
}

/** Whether `resetAt` changed before its previous value was reached. In a fixed window this does not happen. */
function wasResetReplacedEarly(
  { resetAt, dateMs }: ResetResponse,
  last: RateResponse | null,
): boolean {
  const lastResetAt = last?.resetAt ?? null
  if (lastResetAt === null || resetAt === lastResetAt) return false
  // The end of a window that begins with a request is before `resetAt`, by at most a second, because Auth0 rounds
  // `resetAt` up.
  return dateMs + SECOND_MS <= lastResetAt - SECOND_MS
}
