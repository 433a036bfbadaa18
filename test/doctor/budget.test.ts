import { describe, expect, test } from 'vitest'
import type { RateLimit } from '../../src/auth0/rate/limit.js'
import {
  type Allowance,
  checkBudget,
  estimateVolume,
  toAllowance,
} from '../../src/doctor/budget.js'
import type { Check } from '../../src/doctor/check.js'
import { syntheticLogId } from '../../src/rules/log-id.js'

const NOW = 1_795_428_000_000

/** Builds entries that Auth0 stored so many seconds before `NOW`. A log id contains the time of the storage. */
const entriesStoredAgo = (...seconds: number[]) =>
  seconds.map((age) => ({ log_id: syntheticLogId(NOW - age * 1000) }))

// Auth0's rate limit is a bucket of tokens. Its documentation states the refill rates of buckets with 2, 10 and 50
// tokens. For another size, the estimate is the used tokens per minute of `resetInMs`, the time until the bucket is full.
describe('the refill rate of a bucket', () => {
  test.each<[bucket: string, RateLimit, expected: Allowance | null]>([
    [
      'the smallest plan',
      { limit: 2, remaining: 1, resetInMs: 500 },
      { perMinute: 120, source: 'documented' },
    ],
    [
      'a plan with 100 requests per minute',
      { limit: 10, remaining: 9, resetInMs: null },
      { perMinute: 100, source: 'documented' },
    ],
    [
      'the Enterprise plan',
      { limit: 50, remaining: 50, resetInMs: 0 },
      { perMinute: 960, source: 'documented' },
    ],
    [
      'a bucket of undocumented size that is full after two seconds',
      { limit: 250, remaining: 240, resetInMs: 2_000 },
      { perMinute: 300, source: 'observed' },
    ],
    [
      'a bucket of undocumented size whose reset time has passed',
      // A time below one second counts as one second.
      { limit: 250, remaining: 249, resetInMs: -300 },
      { perMinute: 60, source: 'observed' },
    ],
  ])('toAllowance returns the requests per minute for %s', (_bucket, limit, expected) => {
    expect(toAllowance(limit)).toEqual(expected)
  })

  test.each<[property: string, RateLimit]>([
    ['is full', { limit: 250, remaining: 250, resetInMs: 0 }],
    ['has no reset time', { limit: 250, remaining: 249, resetInMs: null }],
  ])('toAllowance returns null for a bucket of undocumented size that %s', (_property, limit) => {
    expect(toAllowance(limit)).toBeNull()
  })
})

describe('the estimated number of entries per minute', () => {
  test.each<[property: string, entries: unknown[], expected: number | null]>([
    ['is based on the time since the oldest entry', entriesStoredAgo(0, 10, 30), 6],
    ['does not depend on the order of the entries', entriesStoredAgo(30, 0, 10), 6],
    ['counts entries of the present instant as one second old', entriesStoredAgo(0, 0), 120],
    ['is unknown without entries', [], null],
    ['is unknown for log ids of another layout', [{ log_id: 'x' }, null], null],
  ])('the estimated number of entries per minute %s', (_property, entries, expected) => {
    expect(estimateVolume(entries, NOW)).toBe(expected)
  })
})

// The poll budget: whether the requests of the polls fit into `RATE_SHARE` of the tenant's rate limit.
describe('the poll budget', () => {
  /** Auth0 refills this bucket with 100 requests per minute. `RATE_SHARE` is 0.5, so the polls may send 50. */
  const BUCKET_OF_10: RateLimit = { limit: 10, remaining: 9, resetInMs: 600 }

  /** Returns the checks `rate limit` and `poll budget`. */
  const runChecks = (limit: RateLimit | null, entriesPerMinute: number, pollIntervalMs = 5_000) => {
    const tenant = { domain: '', baseUrl: '', clientId: '', clientSecret: '', proxy: undefined }
    return checkBudget(
      { limit, volume: entriesPerMinute },
      { pollIntervalMs, auth0: { ...tenant, rateShare: 0.5 } },
    )
  }

  interface Polling {
    limit: RateLimit
    entriesPerMinute: number
    pollIntervalMs: number
  }

  test.each<[Check['status'], tenant: string, Polling, message: RegExp]>([
    [
      'ok',
      'few entries and a poll every five seconds',
      { limit: BUCKET_OF_10, entriesPerMinute: 3, pollIntervalMs: 5_000 },
      // Per minute, 12 polls end with an empty page. 3 of them read a page with one entry before it.
      /3 entries per minute need 15 .*allows 50/,
    ],
    [
      'ok',
      'many entries that the share suffices to read',
      { limit: BUCKET_OF_10, entriesPerMinute: 3_000, pollIntervalMs: 5_000 },
      // Per minute, 12 polls read 250 entries each, which are 3 pages.
      /need 36 requests/,
    ],
    [
      'warning',
      'few entries and too many polls',
      { limit: BUCKET_OF_10, entriesPerMinute: 3, pollIntervalMs: 1_000 },
      // Per minute, 60 polls end with an empty page. 3 of them read a page with one entry before it.
      /need 63 .*polls wait/,
    ],
    [
      'failure',
      'more entries than the share suffices to read',
      { limit: BUCKET_OF_10, entriesPerMinute: 6_000, pollIntervalMs: 5_000 },
      // Per minute, 12 polls read 500 entries each, which are 5 pages.
      /need 60 .*falls behind/,
    ],
    [
      'ok',
      'an undocumented limit that certainly suffices',
      // 10 requests are refilled in one second, so at least 600 in one minute. Half of them are 300.
      {
        limit: { limit: 250, remaining: 240, resetInMs: 1_000 },
        entriesPerMinute: 3,
        pollIntervalMs: 5_000,
      },
      /allows 300/,
    ],
    [
      'warning',
      'an undocumented limit that may not suffice',
      {
        limit: { limit: 250, remaining: 249, resetInMs: 9_000 },
        entriesPerMinute: 3,
        pollIntervalMs: 5_000,
      },
      /allows at least .*; whether it allows more is unknown/,
    ],
    [
      'ok',
      'a full bucket of undocumented size',
      {
        limit: { limit: 250, remaining: 250, resetInMs: 0 },
        entriesPerMinute: 3,
        pollIntervalMs: 5_000,
      },
      /how many the tenant allows is unknown/,
    ],
  ])(
    'the check of the poll budget has the status %s for a tenant with %s',
    (status, _tenant, { limit, entriesPerMinute, pollIntervalMs }, message) => {
      const [, pollBudget] = runChecks(limit, entriesPerMinute, pollIntervalMs)
      expect(pollBudget).toMatchObject({ status, message: expect.stringMatching(message) })
      expect(pollBudget?.advice === undefined).toBe(status === 'ok')
    },
  )

  test('the check of the poll budget advises an interval that the rate limit allows', () => {
    const checkWithInterval = (pollIntervalMs: number) =>
      runChecks(BUCKET_OF_10, 3, pollIntervalMs)[1]
    const [, seconds] = /POLL_INTERVAL to (\d+)s/.exec(checkWithInterval(500)?.advice ?? '') ?? []
    const advisedMs = Number(seconds) * 1000
    expect(checkWithInterval(advisedMs)?.status).toBe('ok')
    // The advice is rounded up, so an interval that is shorter by one second may be long enough too.
    expect(checkWithInterval(advisedMs - 2_000)?.status).toBe('warning')
  })

  test('the checks of the rate limit and of the poll budget are warnings if the responses have no headers of the rate limit', () => {
    expect(runChecks(null, 1)).toMatchObject([
      { name: 'rate limit', status: 'warning' },
      { name: 'poll budget', status: 'warning' },
    ])
  })
})
