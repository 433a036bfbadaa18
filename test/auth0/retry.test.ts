import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { RETRY_LIMITS, retry } from '../../src/auth0/retry.js'
import { LastLogoutError } from '../../src/errors.js'

const { signal } = new AbortController()

/** The default number of retries, with short waits between them. */
const QUICK = { ...RETRY_LIMITS, backoff: { firstMs: 1, maxMs: 4 } }

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }))
afterEach(() => void vi.useRealTimers())

/** What fails so often in so many milliseconds each time. */
async function count(eachMs: number): Promise<number> {
  let attempts = 0
  const run = async () => {
    attempts += 1
    vi.advanceTimersByTime(eachMs)
    throw new LastLogoutError('AUTH0_UNAVAILABLE', 'away')
  }
  await expect(retry(run, signal, QUICK)).rejects.toMatchObject({
    code: 'AUTH0_UNAVAILABLE',
  })
  return attempts
}

describe('a question that fails', () => {
  test.each([
    ['five times, where each is short', 10, 5],
    ['fewer times, where each is long: whoever waits is told what is wrong', 8_000, 3],
    ['once, where that takes as long as a request may', 30_000, 1],
  ])('is asked %s', async (_what, eachMs, attempts) => {
    expect(await count(eachMs)).toBe(attempts)
  })
})

test('by default, 250 ms pass before the second attempt, and twice as many before each after it', async () => {
  expect(RETRY_LIMITS).toEqual({
    retries: 4,
    forMs: 20_000,
    backoff: { firstMs: 250, maxMs: 2_000 },
  })
  const attemptedAt: number[] = []
  await retry(async () => {
    attemptedAt.push(Date.now())
    if (attemptedAt.length < 2) throw new LastLogoutError('AUTH0_UNAVAILABLE', 'away')
  }, signal)
  const [first = 0, second = 0] = attemptedAt
  // A timer may fire up to a millisecond early.
  expect(second - first).toBeGreaterThan(248)
})
