import { describe, expect, test } from 'vitest'
import type { SimulatedRateLimit } from '../../src/simulator/rate-limit.js'
import { NOON, start } from './start.js'

/**
 * Reads the headers of the rate limit. `reset` is the time at which all requests are available again, in seconds since
 * the epoch.
 */
function readLimitHeaders({ headers }: Response) {
  const read = (name: string) => Number(headers.get(`x-ratelimit-${name}`))
  return { limit: read('limit'), remaining: read('remaining'), reset: read('reset') }
}

const NOON_SECONDS = NOON / 1000

// The rate limit is a token bucket: it allows `burst` requests at once, and is refilled by `perSecond` requests a second.
// With `windowSeconds`, the limit is a fixed window instead.
describe('the rate limit', () => {
  test('every response contains the rate limit in its headers', async () => {
    const { logs, fetch, token } = await start({ rateLimit: { burst: 10, perSecond: 2 } })
    // Two requests are refilled per second, and `reset` is rounded up to a second.
    expect(readLimitHeaders(await logs())).toEqual({
      limit: 10,
      remaining: 9,
      reset: NOON_SECONDS + 1,
    })
    expect(readLimitHeaders(await logs('?q=nonsense'))).toEqual({
      limit: 10,
      remaining: 8,
      reset: NOON_SECONDS + 1,
    })
    // Requests without a token also count.
    expect(readLimitHeaders(await fetch('/api/v2/logs'))).toEqual({
      limit: 10,
      remaining: 7,
      reset: NOON_SECONDS + 2,
    })
    expect(readLimitHeaders(await fetch('/api/v2/unknown'))).toEqual({
      limit: 10,
      remaining: 6,
      reset: NOON_SECONDS + 2,
    })
    const limitOfTokenEndpoint = Object.values(readLimitHeaders(await token()))
    expect(limitOfTokenEndpoint.every((value) => value > 0)).toBe(true)
  })

  test('the reset is a whole second, even if the clock of the headers is ahead by a part of a second', async () => {
    const rateLimit = { burst: 10, perSecond: 2 }
    const { logs } = await start({ rateLimit, clockAheadMs: () => 1_500 })
    // The half second until the bucket is full is rounded up to one second. So is its sum with 1.5 s.
    expect(readLimitHeaders(await logs()).reset).toBe(NOON_SECONDS + 3)
  })

  test('a request gets a 429 when the bucket is empty', async () => {
    const { logs } = await start({ rateLimit: { burst: 2, perSecond: 1 } })
    await logs()
    await logs()
    const response = await logs()
    expect(response.status).toBe(429)
    expect(readLimitHeaders(response)).toEqual({
      limit: 2,
      remaining: 0,
      reset: NOON_SECONDS + 2,
    })
    expect(await response.json()).toEqual({
      statusCode: 429,
      error: 'Too Many Requests',
      message: 'Global limit has been reached',
      errorCode: 'too_many_requests',
    })
  })

  test("the bucket is refilled up to the burst, by the tenant's clock", async () => {
    const { logs, clock } = await start({ rateLimit: { burst: 2, perSecond: 1 } })
    await logs()
    await logs()
    clock.ms += 999
    expect((await logs()).status).toBe(429)
    clock.ms += 1
    expect((await logs()).status).toBe(200)
    // After a minute, two requests are available, not 60. The next request uses one of them.
    clock.ms += 60_000
    expect(readLimitHeaders(await logs()).remaining).toBe(1)
  })

  test('with a fixed window, all requests are available again at the end of the window', async () => {
    const { logs, clock } = await start({ rateLimit: { burst: 2, windowSeconds: 60 } })
    expect(readLimitHeaders(await logs())).toEqual({
      limit: 2,
      remaining: 1,
      reset: NOON_SECONDS + 60,
    })
    clock.ms += 59_999
    expect(readLimitHeaders(await logs())).toEqual({
      limit: 2,
      remaining: 0,
      reset: NOON_SECONDS + 60,
    })
    expect((await logs()).status).toBe(429)
    clock.ms += 1
    expect(readLimitHeaders(await logs())).toEqual({
      limit: 2,
      remaining: 1,
      reset: NOON_SECONDS + 120,
    })
  })

  test.each([
    [{ burst: 10 }, 'windowSeconds is undefined'],
    [{ burst: 10, perSecond: 0 }, 'perSecond is 0'],
    [{ burst: 10, windowSeconds: Number.NaN }, 'windowSeconds is NaN'],
    [{ perSecond: 1 }, 'burst is undefined'],
  ])(
    'createSimulator rejects the rate limit %j, and the message names the value',
    async (rateLimit, problem) => {
      const started = start({ rateLimit: rateLimit as SimulatedRateLimit })
      await expect(started).rejects.toThrow(TypeError)
      await expect(started).rejects.toThrow(problem)
    },
  )

  test('the rate limit does not apply to the token endpoint', async () => {
    const { logs, token } = await start({ rateLimit: { burst: 1, perSecond: 1 } })
    expect((await logs()).status).toBe(200)
    expect((await logs()).status).toBe(429)
    expect((await token()).status).toBe(200)
  })

  test('by default, no request is refused, and the number of remaining requests stays the same', async () => {
    const { logs } = await start()
    for (let i = 0; i < 20; i++) {
      const response = await logs()
      expect(response.status).toBe(200)
      expect(readLimitHeaders(response)).toEqual({
        limit: 1000,
        remaining: 999,
        reset: NOON_SECONDS,
      })
    }
  })
})
