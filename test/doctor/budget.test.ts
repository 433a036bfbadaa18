import { describe, expect, test } from 'vitest'
import type { RateLimit } from '../../src/auth0/rate/limit.js'
import { estimateVolume, examineBudget, toAllowance } from '../../src/doctor/budget.js'
import { syntheticLogId } from '../../src/rules/log-id.js'

const NOW = 1_795_428_000_000
const stored = (...secondsAgo: number[]) =>
  secondsAgo.map((seconds) => ({ log_id: syntheticLogId(NOW - seconds * 1000) }))

describe('what a bucket allows', () => {
  test.each<[string, RateLimit, ReturnType<typeof toAllowance>]>([
    [
      'of the smallest plan',
      { limit: 2, remaining: 1, resetInMs: 500 },
      { perMinute: 120, source: 'documented' },
    ],
    [
      'of 100 a minute',
      { limit: 10, remaining: 9, resetInMs: null },
      { perMinute: 100, source: 'documented' },
    ],
    [
      'of Enterprise',
      { limit: 50, remaining: 50, resetInMs: 0 },
      { perMinute: 960, source: 'documented' },
    ],
    [
      'of another size, as it is refilled',
      { limit: 250, remaining: 240, resetInMs: 2_000 },
      { perMinute: 300, source: 'seen' },
    ],
    [
      'of another size, refilled within a second',
      { limit: 250, remaining: 249, resetInMs: -300 },
      { perMinute: 60, source: 'seen' },
    ],
    ['of another size, untouched', { limit: 250, remaining: 250, resetInMs: 0 }, null],
    ['of another size, without a reset', { limit: 250, remaining: 249, resetInMs: null }, null],
  ])('%s', (_what, limit, allowance) => {
    expect(toAllowance(limit)).toEqual(allowance)
  })
})

describe('the volume', () => {
  test.each<[string, unknown[], number | null]>([
    ['is that since the oldest of the entries', stored(0, 10, 30), 6],
    ['does not go by the order of the entries', stored(30, 0, 10), 6],
    ['of entries stored within a second is not endless', stored(0, 0), 120],
    ['is not known of none', [], null],
    ['is not known of ids of another layout', [{ log_id: 'x' }, null], null],
  ])('%s', (_what, entries, perMinute) => {
    expect(estimateVolume(entries, NOW)).toBe(perMinute)
  })
})

describe('the poll budget', () => {
  const of10 = { limit: 10, remaining: 9, resetInMs: 600 }
  const examine = (
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
    return examineBudget({ limit, volume }, { pollIntervalMs, auth0 })[1]
  }

  test.each<[string, RateLimit, number, number, string, RegExp]>([
    ['quiet, polled every 5 s', of10, 3, 5_000, 'ok', /3 entries a minute it takes 15 .*allows 50/],
    ['busy, but within the share', of10, 3_000, 5_000, 'ok', /takes 48 requests/],
    ['quiet, polled too often', of10, 3, 1_000, 'warning', /takes 63 .*polls wait/],
    ['busier than the share can read', of10, 6_000, 5_000, 'failure', /takes 72 .*falls behind/],
    [
      'of unknown limit, enough for sure',
      { limit: 250, remaining: 240, resetInMs: 1_000 },
      3,
      5_000,
      'ok',
      /allows 300/,
    ],
    [
      'of unknown limit, perhaps not enough',
      { limit: 250, remaining: 249, resetInMs: 9_000 },
      3,
      5_000,
      'warning',
      /not certain/,
    ],
    [
      'of a limit that tells nothing',
      { limit: 250, remaining: 250, resetInMs: 0 },
      3,
      5_000,
      'ok',
      /did not show/,
    ],
  ])('of a tenant that is %s', (_what, limit, volume, pollIntervalMs, status, message) => {
    const check = examine(limit, volume, pollIntervalMs)
    expect(check).toMatchObject({ status, message: expect.stringMatching(message) })
    expect(check?.advice === undefined).toBe(status === 'ok')
  })

  test('advises an interval that fits', () => {
    const advised = /POLL_INTERVAL to (\d+)s/.exec(examine(of10, 3, 500)?.advice ?? '')?.[1]
    expect(examine(of10, 3, Number(advised) * 1000)?.status).toBe('ok')
    expect(examine(of10, 3, (Number(advised) - 2) * 1000)?.status).toBe('warning')
  })

  test('is not known where the answers lack the headers', () => {
    expect(
      examineBudget(
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
