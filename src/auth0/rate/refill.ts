import { documentedPerMinute } from './documented-limits.js'
import type { RateResponse } from './limit.js'

/** `Date` and `x-ratelimit-reset` are in whole seconds. */
const SECOND_MS = 1_000

/** Two requests cannot be closer than this, in milliseconds. Prevents a division by 0. */
const MIN_INTERVAL_MS = 1e-6

/** Bounds of the refill of Auth0's bucket, in tokens a millisecond. */
interface RefillBounds {
  min: number
  max: number
}

/** What the responses prove: bounds of the refill, or a fixed window, where nothing is refilled before `reset`. */
export type Refill = RefillBounds | 'window'

/** A response that states when the bucket is full, or when the window ends. */
type ResetResponse = RateResponse & { resetAt: number }

/** Before the first response. */
export const UNKNOWN_REFILL: Refill = { min: 0, max: Number.POSITIVE_INFINITY }

/** The refill to count on, in tokens a millisecond; 0: unknown, or a window. */
export function refillPerMs(limit: number, refill: Refill): number {
  if (refill === 'window') return 0
  return documentedRefill(limit, refill) ?? refill.min
}

/** Tokens a millisecond; `null`: of this size no refill is documented, or the real one is proven lower. */
export function documentedRefill(limit: number, refill: Refill): number | null {
  const perMinute = documentedPerMinute(limit)
  if (perMinute === null || refill === 'window') return null
  const perMs = perMinute / 60_000
  return perMs < refill.max ? perMs : null
}

/**
 * Adds what a response proves to what is known.
 *
 * @returns The refill. `isNewLimit`: the tenant's limit was changed, and only this response counts.
 */
export function learnRefill(
  known: Refill,
  response: ResetResponse,
  last: RateResponse | null,
): { refill: Refill; isNewLimit: boolean } {
  const seen = boundsOf(response, last)
  const refill = known === 'window' ? known : intersect(known, seen)
  const hasOtherSize = last !== null && last.limit !== response.limit
  const isNewLimit = hasOtherSize || (refill === 'window' && hasMovedEarly(response, last))
  return { refill: isNewLimit ? seen : refill, isNewLimit }
}

/** Bounds that contradict each other show a window. */
function intersect(a: RefillBounds, b: RefillBounds): Refill {
  const min = Math.max(a.min, b.min)
  const max = Math.min(a.max, b.max)
  return min > max ? 'window' : { min, max }
}

/**
 * Bounds the refill by one response and the one before. The request itself is missing, `remaining` is rounded
 * down. What other callers take is missing as well, and makes neither bound wrong.
 */
function boundsOf(response: ResetResponse, last: RateResponse | null): RefillBounds {
  const { limit, remaining, resetAt, dateMs, sentAt, receivedAt } = response
  const missing = Math.max(1, limit - remaining)
  // Auth0 counts the request after it was sent, and before it writes `Date`.
  const minUntilFull = resetAt - SECOND_MS - (dateMs + SECOND_MS)
  const maxUntilFull = resetAt - dateMs + (receivedAt - sentAt)
  // What is no longer missing has been refilled since the last response.
  const wasMissing = last === null ? 0 : Math.max(1, last.limit - last.remaining - 1)
  const refilled =
    (wasMissing + 1 - missing) / Math.max(receivedAt - (last?.sentAt ?? 0), MIN_INTERVAL_MS)
  return {
    min: Math.max(maxUntilFull > 0 ? Math.max(1, missing - 1) / maxUntilFull : 0, refilled),
    max: minUntilFull > 0 ? missing / minUntilFull : Number.POSITIVE_INFINITY,
  }
}

/** Whether `reset` was replaced before it was reached, which no window does. */
function hasMovedEarly({ resetAt, dateMs }: ResetResponse, last: RateResponse | null): boolean {
  const lastResetAt = last?.resetAt ?? null
  if (lastResetAt === null || resetAt === lastResetAt) return false
  // A window that begins with a request can end up to a second before a `reset` that is rounded up.
  return dateMs + SECOND_MS <= lastResetAt - SECOND_MS
}
