import { describe, expect, test } from 'vitest'
import { NOON, start } from './start.js'

function readLimitHeaders({ headers }: Response): number[] {
  return ['limit', 'remaining', 'reset'].map((name) => Number(headers.get(`x-ratelimit-${name}`)))
}

const NOON_SECONDS = NOON / 1000

describe('the rate limit', () => {
  test('every response contains the rate limit in its headers', async () => {
    const { logs, fetch, token } = await start({ rateLimit: { burst: 10, perSecond: 2 } })
    expect(readLimitHeaders(await logs())).toEqual([10, 9, NOON_SECONDS + 1])
    expect(readLimitHeaders(await logs('?q=nonsense'))).toEqual([10, 8, NOON_SECONDS + 1])
    expect(readLimitHeaders(await fetch('/api/v2/logs'))).toEqual([10, 7, NOON_SECONDS + 2])
    expect(readLimitHeaders(await fetch('/api/v2/unknown'))).toEqual([10, 6, NOON_SECONDS + 2])
    expect(readLimitHeaders(await token()).every((value) => value > 0)).toBe(true)
  })

  test('a request gets a 429 when the bucket is empty', async () => {
    const { logs } = await start({ rateLimit: { burst: 2, perSecond: 1 } })
    await logs()
    await logs()
    const response = await logs()
    expect(response.status).toBe(429)
    expect(readLimitHeaders(response)).toEqual([2, 0, NOON_SECONDS + 2])
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
    clock.ms += 60_000
    expect(readLimitHeaders(await logs())[1]).toBe(1)
  })

  test('all requests are available again at the end of a window', async () => {
    const { logs, clock } = await start({ rateLimit: { burst: 2, windowSeconds: 60 } })
    expect(readLimitHeaders(await logs())).toEqual([2, 1, NOON_SECONDS + 60])
    clock.ms += 59_999
    expect(readLimitHeaders(await logs())).toEqual([2, 0, NOON_SECONDS + 60])
    expect((await logs()).status).toBe(429)
    clock.ms += 1
    expect(readLimitHeaders(await logs())).toEqual([2, 1, NOON_SECONDS + 120])
  })

  test('the rate limit does not apply to the token endpoint', async () => {
    const { logs, token } = await start({ rateLimit: { burst: 1, perSecond: 1 } })
    expect((await logs()).status).toBe(200)
    expect((await logs()).status).toBe(429)
    expect((await token()).status).toBe(200)
  })

  test('no request is refused by default', async () => {
    const { logs } = await start()
    for (let i = 0; i < 20; i++) {
      const response = await logs()
      expect(response.status).toBe(200)
      expect(readLimitHeaders(response)).toEqual([1000, 999, NOON_SECONDS])
    }
  })
})
