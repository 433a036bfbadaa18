import { describe, expect, test } from 'vitest'
import { createRateLimiter } from '../../../src/auth0/rate/rate-limiter.js'
import { type SimulatedRateLimit, simulateRateLimit } from '../../../src/simulator/rate-limit.js'

/** The start of each simulation by Auth0's clock, in milliseconds since the epoch. */
const EPOCH = 1_763_000_000_000
/** Our share: the fraction of the rate limit that last-logout may use. */
const SHARE = 0.5
const LATENCY_MS = 200
const POLL_INTERVAL_MS = 5_000
const DURATION_MS = 10 * 60_000

/**
 * Simulates ten minutes. Every five seconds, a catch-up reads `pages` pages of the log, each with one request. Searches
 * use only the spare budget: the requests that the catch-ups leave. Each request begins after the previous response.
 */
function simulate(limit: SimulatedRateLimit, pages: number) {
  let now = 0
  const countRequest = simulateRateLimit(limit, () => EPOCH + now)
  const limiter = createRateLimiter(SHARE)
  let [searchCount, refusedCount, maxWaitMs] = [0, 0, 0]
  const send = () => {
    const sentAt = now
    limiter.recordSent(sentAt)
    now += LATENCY_MS / 2
    const { allowed, limit: size, remaining, resetSeconds } = countRequest()
    const dateMs = Math.floor((EPOCH + now) / 1_000) * 1_000
    now += LATENCY_MS / 2
    if (!allowed) refusedCount += 1
    const resetAt = resetSeconds * 1_000
    limiter.recordResponse({ limit: size, remaining, resetAt, dateMs, sentAt, receivedAt: now })
  }
  for (let dueAt = 0; dueAt < DURATION_MS; dueAt += POLL_INTERVAL_MS) {
    while (Math.max(now, limiter.spareAt()) < dueAt) {
      now = Math.max(now, limiter.spareAt())
      send()
      searchCount += 1
    }
    now = Math.max(now, dueAt)
    for (let page = 0; page < pages; page++) {
      const readyAt = Math.max(now, limiter.readyAt())
      maxWaitMs = Math.max(maxWaitMs, readyAt - now)
      now = readyAt
      send()
    }
  }
  return { searchCount, refusedCount, maxWaitMs }
}

describe('a search that uses only spare budget', () => {
  test.each<[string, SimulatedRateLimit, pages: number, maxWaitMs: number, minSearches: number]>([
    // The share allows 505 requests, and the catch-ups need 360 of them.
    ['100 requests per minute', { burst: 10, perSecond: 100 / 60 }, 3, 700, 110],
    [
      '100 requests per minute, with catch-ups of one page',
      { burst: 10, perSecond: 100 / 60 },
      1,
      0,
      350,
    ],
    ['2 requests per second', { burst: 2, perSecond: 2 }, 1, 1_000, 450],
    ['16 requests per second', { burst: 50, perSecond: 16 }, 3, 0, 2_000],
    ['100 requests in a window of 10 s', { burst: 100, windowSeconds: 10 }, 3, 0, 600],
  ])(
    'searches delay a catch-up by at most a second, and use the requests that the catch-ups leave: %s',
    (_what, limit, pages, maxWaitMs, minSearches) => {
      const result = simulate(limit, pages)
      expect(result.refusedCount).toBe(0)
      expect(result.maxWaitMs).toBeLessThanOrEqual(maxWaitMs)
      expect(result.searchCount).toBeGreaterThanOrEqual(minSearches)
    },
  )
})
