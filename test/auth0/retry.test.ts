import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { retry } from '../../src/auth0/retry.js'
import { LastLogoutError } from '../../src/errors.js'

const { signal } = new AbortController()

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
  await expect(retry(run, signal)).rejects.toMatchObject({ code: 'AUTH0_UNAVAILABLE' })
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
