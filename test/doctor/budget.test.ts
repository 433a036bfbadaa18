import { describe, expect, test } from 'vitest'
import type { RateLimit } from '../../src/auth0/rate/limit.js'
import { checkBudget, estimateVolume, toAllowance } from '../../src/doctor/budget.js'
import { syntheticLogId } from '../../src/rules/log-id.js'

const NOW = 1_795_428_000_000
const entriesStored = (...secondsAgo: number[]) =>
  secondsAgo.map((seconds) => ({ log_id: syntheticLogId(NOW - seconds * 1000) }))

describe('the estimated refill rate of a bucket', () => {
  test.each<[string, RateLimit, ReturnType<typeof toAllowance>]>([
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
      'a bucket of undocumented size',
      { limit: 250, remaining: 240, resetInMs: 2_000 },
      { perMinute: 300, source: 'observed' },
    ],
    [
      'a bucket of undocumented size that is full within one second',
      { limit: 250, remaining: 249, resetInMs: -300 },
      { perMinute: 60, source: 'observed' },
    ],
    ['a full bucket of undocumented size', { limit: 250, remaining: 250, resetInMs: 0 }, null],
    [
      'a bucket of undocumented size without a reset',
      { limit: 250, remaining: 249, resetInMs: null },
      null,
    ],
  ])('toAllowance estimates the refill rate for %s', (_what, limit, allowance) => {
    expect(toAllowance(limit)).toEqual(allowance)
  })
})

describe('the estimated volume', () => {
  test.each<[string, unknown[], number | null]>([
    ['is the number of entries per minute since the oldest entry', entriesStored(0, 10, 30), 6],
    ['does not depend on the order of the entries', entriesStored(30, 0, 10), 6],
    ['is finite for entries that were stored within one second', entriesStored(0, 0), 120],
    ['is unknown without entries', [], null],
    ['is unknown for ids of another layout', [{ log_id: 'x' }, null], null],
  ])('the estimated volume %s', (_what, entries, perMinute) => {
    expect(estimateVolume(entries, NOW)).toBe(perMinute)
  })
})

describe('the poll budget', () => {
  const bucketOf10 = { limit: 10, remaining: 9, resetInMs: 600 }
  const checkPollBudget = (
    limit: RateLimit | null,
    volume: number,
    pollIntervalMs = 5_000,
    rateShare = 0.5,
  ) => {
    const auth0 = {
      domain: '',
      baseUrl: '',
      clientId: '',
      clientSecret: '',
      rateShare,
      proxy: undefined,
    }
    return checkBudget({ limit, volume }, { pollIntervalMs, auth0 })[1]
  }

  test.each<[string, RateLimit, number, number, string, RegExp]>([
    [
      'with few entries and a poll every 5 s',
      bucketOf10,
      3,
      5_000,
      'ok',
      /3 entries per minute need 15 .*allows 50/,
    ],
    ['with many entries, within the share', bucketOf10, 3_000, 5_000, 'ok', /need 36 requests/],
    [
      'with few entries and too many polls',
      bucketOf10,
      3,
      1_000,
      'warning',
      /need 63 .*polls wait/,
    ],
    [
      'with more entries than the share can read',
      bucketOf10,
      6_000,
      5_000,
      'failure',
      /need 60 .*falls behind/,
    ],
    [
      'with an undocumented limit that is certainly sufficient',
      { limit: 250, remaining: 240, resetInMs: 1_000 },
      3,
      5_000,
      'ok',
      /allows 300/,
    ],
    [
      'with an undocumented limit that may be insufficient',
      { limit: 250, remaining: 249, resetInMs: 9_000 },
      3,
      5_000,
      'warning',
      /allows at least .*; whether it allows more is unknown/,
    ],
    [
      'with an unused bucket of undocumented size',
      { limit: 250, remaining: 250, resetInMs: 0 },
      3,
      5_000,
      'ok',
      /how many the tenant allows is unknown/,
    ],
  ])(
    'the check of the poll budget has the right status for a tenant %s',
    (_what, limit, volume, pollIntervalMs, status, message) => {
      const check = checkPollBudget(limit, volume, pollIntervalMs)
      expect(check).toMatchObject({ status, message: expect.stringMatching(message) })
      expect(check?.advice === undefined).toBe(status === 'ok')
    },
  )

  test('the check of the poll budget advises an interval that the rate limit allows', () => {
    const advisedSeconds = /POLL_INTERVAL to (\d+)s/.exec(
      checkPollBudget(bucketOf10, 3, 500)?.advice ?? '',
    )?.[1]
    expect(checkPollBudget(bucketOf10, 3, Number(advisedSeconds) * 1000)?.status).toBe('ok')
    expect(checkPollBudget(bucketOf10, 3, (Number(advisedSeconds) - 2) * 1000)?.status).toBe(
      'warning',
    )
  })

  test('the check of the poll budget is a warning if the responses have no headers of the rate limit', () => {
    expect(
      checkBudget(
        { limit: null, volume: 1 },
        {
          pollIntervalMs: 5_000,
          auth0: {
            domain: '',
            baseUrl: '',
            clientId: '',
            clientSecret: '',
            rateShare: 1,
            proxy: undefined,
          },
        },
      ),
    ).toMatchObject([
      { name: 'rate limit', status: 'warning' },
      { name: 'poll budget', status: 'warning' },
    ])
  })
})
