import type { Bounds } from './server-clock.js'

/** What one answer tells of the rate limit. Times in milliseconds. */
interface Observation {
  limit: number
  remaining: number
  /** By the server's clock, in whole seconds. */
  resetAt: number
  /** When the server counted the request, by its clock. */
  at: Bounds
  /** The same by ours. */
  sentAt: number
  receivedAt: number
}

/** One of the things that may be behind the headers. */
export interface RateModel {
  /** False: these answers cannot be this model's. */
  observe(seen: Observation): boolean
}

/** A bucket that is refilled steadily; `reset` is when it is full. */
export interface BucketModel extends RateModel {
  /** Requests a millisecond by which it is refilled. */
  refill(): Bounds
}

/**
 * A request takes one, so that at least one is missing after it: what is missing, divided by the
 * time until all is there, is the refill. Both are told in whole numbers, so each answer gives bounds.
 * What others take is seen as missing too, and makes none of the bounds wrong.
 */
export function createBucketModel(): BucketModel {
  let refill: Bounds = { least: 0, most: Number.POSITIVE_INFINITY }
  let last: { missing: number; sentAt: number } | null = null

  return {
    refill: () => refill,
    observe({ limit, remaining, resetAt, at, sentAt, receivedAt }) {
      const used = limit - remaining
      const passed = Math.max(receivedAt - (last?.sentAt ?? 0), 0.001)
      const left = last === null ? 0 : Math.max(0, last.missing - refill.most * passed)
      const missing = Math.max(used - 1, 1 + left)
      const untilFull = { least: resetAt - 1000 - at.most, most: resetAt - at.least }
      const least = Math.max(
        refill.least,
        untilFull.most > 0 ? missing / untilFull.most : Number.POSITIVE_INFINITY,
        // What is no longer missing has been refilled since the last answer.
        last === null ? 0 : (last.missing + 1 - used) / passed,
      )
      const most = Math.min(
        refill.most,
        untilFull.least > 0 ? used / untilFull.least : Number.POSITIVE_INFINITY,
      )
      refill = { least, most }
      last = { missing, sentAt }
      return least <= most
    },
  }
}

/** A window is a whole number of seconds, as its end is told in them. */
const SHORTEST_WINDOW_MS = 1000

/**
 * All requests come back at once at `reset`, which stands still until then. Windows either follow
 * one another by the clock, or each begins with the first request after the last one's end; `reset` is
 * then rounded up.
 */
export function createWindowModel(): RateModel {
  let byClock = true
  let byRequest = true
  /** Of windows by the clock. */
  const length = { least: 0, most: 0 }
  let last: { resetAt: number; endsFrom: number } | null = null

  return {
    observe({ limit, remaining, resetAt, at }) {
      const isFirst = limit - remaining === 1
      if (last !== null && resetAt !== last.resetAt) {
        length.most = commonLength(length.most, Math.abs(resetAt - last.resetAt))
        if (at.most < last.resetAt) byClock = false
        if (at.most < last.endsFrom) byRequest = false
      }
      length.least = Math.max(length.least, resetAt - at.most)
      if (length.most > 0 && length.least > length.most) byClock = false
      if (isFirst && resetAt - at.least < SHORTEST_WINDOW_MS) byRequest = false
      if (resetAt !== last?.resetAt) {
        const began = isFirst ? at.least + SHORTEST_WINDOW_MS : 0
        last = { resetAt, endsFrom: Math.max(resetAt - 1000, began) }
      }
      return byClock || byRequest
    },
  }
}

/** The longest length of which both are multiples; 0 is one of any. */
function commonLength(a: number, b: number): number {
  return b === 0 ? a : commonLength(b, a % b)
}
