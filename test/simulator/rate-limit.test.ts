import { describe, expect, test } from 'vitest'
import { NOON, start } from './start.js'

function limits({ headers }: Response): number[] {
  return ['limit', 'remaining', 'reset'].map((name) => Number(headers.get(`x-ratelimit-${name}`)))
}

const NOON_SECONDS = NOON / 1000

describe('the rate limit', () => {
  test('is stated in the headers of every response', async () => {
    const { logs, fetch, token } = await start({ rateLimit: { burst: 10, perSecond: 2 } })
    expect(limits(await logs())).toEqual([10, 9, NOON_SECONDS + 1])
    expect(limits(await logs('?q=nonsense'))).toEqual([10, 8, NOON_SECONDS + 1])
    expect(limits(await fetch('/api/v2/logs'))).toEqual([10, 7, NOON_SECONDS + 2])
    expect(limits(await fetch('/api/v2/unknown'))).toEqual([10, 6, NOON_SECONDS + 2])
    expect(limits(await token()).every((value) => value > 0)).toBe(true)
  })

  test('causes a 429 when the bucket is empty', async () => {
    const { logs } = await start({ rateLimit: { burst: 2, perSecond: 1 } })
    await logs()
    await logs()
    const response = await logs()
    expect(response.status).toBe(429)
    expect(limits(response)).toEqual([2, 0, NOON_SECONDS + 2])
    expect(await response.json()).toEqual({
      statusCode: 429,
      error: 'Too Many Requests',
      message: 'Global limit has been reached',
      errorCode: 'too_many_requests',
    })
  })

  test("refills the bucket by the tenant's clock, up to the burst", async () => {
    const { logs, clock } = await start({ rateLimit: { burst: 2, perSecond: 1 } })
    await logs()
    await logs()
    clock.ms += 999
    expect((await logs()).status).toBe(429)
    clock.ms += 1
    expect((await logs()).status).toBe(200)
    clock.ms += 60_000
    expect(limits(await logs())[1]).toBe(1)
  })

  test('restores all requests at the end of a window', async () => {
    const { logs, clock } = await start({ rateLimit: { burst: 2, windowSeconds: 60 } })
    expect(limits(await logs())).toEqual([2, 1, NOON_SECONDS + 60])
    clock.ms += 59_999
    expect(limits(await logs())).toEqual([2, 0, NOON_SECONDS + 60])
    expect((await logs()).status).toBe(429)
    clock.ms += 1
    expect(limits(await logs())).toEqual([2, 1, NOON_SECONDS + 120])
  })

  test('does not apply to the token endpoint', async () => {
    const { logs, token } = await start({ rateLimit: { burst: 1, perSecond: 1 } })
    expect((await logs()).status).toBe(200)
    expect((await logs()).status).toBe(429)
    expect((await token()).status).toBe(200)
  })

  test('refuses nothing by default', async () => {
    const { logs } = await start()
    for (let i = 0; i < 20; i++) {
      const response = await logs()
      expect(response.status).toBe(200)
      expect(limits(response)).toEqual([1000, 999, NOON_SECONDS])
    }
  })
})
