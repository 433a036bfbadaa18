import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { RETRY_LIMITS, retry } from '../../src/auth0/retry.js'
import { LastLogoutError } from '../../src/errors.js'

const { signal } = new AbortController()

/** The default limits, but with a short backoff. */
const QUICK_LIMITS = { ...RETRY_LIMITS, backoff: { firstMs: 1, maxMs: 4 } }

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }))
afterEach(() => void vi.useRealTimers())

/** Returns the number of attempts of a request that always fails, each time after `durationMs`. */
async function countAttempts(durationMs: number): Promise<number> {
  let attempts = 0
  const run = async () => {
    attempts += 1
    vi.advanceTimersByTime(durationMs)
    throw new LastLogoutError('AUTH0_UNAVAILABLE', 'unavailable')
  }
  await expect(retry(run, signal, QUICK_LIMITS)).rejects.toMatchObject({
    code: 'AUTH0_UNAVAILABLE',
  })
  return attempts
}

describe('a request that fails', () => {
  // No further attempt starts later than 20 s after the first.
  test.each([
    ['five times, if each attempt is short', 10, 5],
    ['fewer times, if each attempt is long', 8_000, 3],
    ['once, if the attempt takes as long as the timeout of a request', 30_000, 1],
  ])('a request that fails is sent %s', async (_count, durationMs, attempts) => {
    expect(await countAttempts(durationMs)).toBe(attempts)
  })
})

test('by default, a request is retried at most four times within 20 s, the first time after 250 ms', async () => {
  expect(RETRY_LIMITS).toEqual({
    retries: 4,
    maxElapsedMs: 20_000,
    backoff: { firstMs: 250, maxMs: 2_000 },
  })
  const attemptedAt: number[] = []
  await retry(async () => {
    attemptedAt.push(Date.now())
    if (attemptedAt.length < 2) throw new LastLogoutError('AUTH0_UNAVAILABLE', 'unavailable')
  }, signal)
  const [first = 0, second = 0] = attemptedAt
  // A timer may fire a little early.
  expect(second - first).toBeGreaterThan(248)
})
