import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readRateLimit, waitAfterRefusal } from '../../../src/auth0/rate/limit.js'

/** The header `Date` of the response, by the clock of Auth0. */
const DATE = 'Wed, 25 Nov 2026 12:00:00 GMT'
const DATE_SECONDS = Date.parse(DATE) / 1000
const waitMsAfter = (headers: Record<string, string>) =>
  waitAfterRefusal(new Headers({ date: DATE, ...headers }))

test.each([
  [{ 'retry-after': '7', 'x-ratelimit-reset': `${DATE_SECONDS + 30}` }, 7_000],
  [{ 'retry-after': 'Wed, 25 Nov 2026 12:00:09 GMT' }, 9_000],
  [{ 'retry-after': 'soon', 'x-ratelimit-reset': `${DATE_SECONDS + 30}` }, 30_000],
  // Without a usable time, the wait is the minimum of one second.
  [{ 'x-ratelimit-reset': `${DATE_SECONDS - 5}` }, 1_000],
  [{ 'x-ratelimit-reset': '99999999999999' }, 1_000],
  [{ 'retry-after': '0' }, 1_000],
  [{ 'retry-after': '-5' }, 1_000],
  [{}, 1_000],
])('the wait after a 429 with the headers %j is %d ms (pitfall 10)', (headers, expectedMs) => {
  expect(waitMsAfter(headers)).toBe(expectedMs)
})

test('for any headers, readRateLimit returns a valid limit or null, and waitAfterRefusal at least a second', () => {
  const header = fc.oneof(
    fc.constantFrom('', '-1', '0', '1e9', 'NaN', 'Infinity', '0x10', '9'.repeat(400), DATE),
    fc.integer().map(String),
    fc.double().map(String),
    // Printable ASCII characters.
    fc.string({ unit: fc.integer({ min: 33, max: 126 }).map((code) => String.fromCharCode(code)) }),
  )
  const names = ['limit', 'remaining', 'reset'].map((name) => `x-ratelimit-${name}`)
  const anyHeaders = fc.record(
    Object.fromEntries([...names, 'retry-after', 'date'].map((name) => [name, header])),
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(anyHeaders, (values) => {
      const headers = new Headers(values as Record<string, string>)
      expect(waitAfterRefusal(headers)).toBeGreaterThanOrEqual(1_000)
      const rateLimit = readRateLimit(headers)
      if (rateLimit === null) return
      expect(rateLimit.limit).toBeGreaterThanOrEqual(1)
      expect(rateLimit.remaining).toBeGreaterThanOrEqual(0)
      expect(rateLimit.remaining).toBeLessThanOrEqual(rateLimit.limit)
      expect(Number.isFinite(rateLimit.resetInMs ?? 0)).toBe(true)
    }),
  )
})
