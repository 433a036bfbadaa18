import { describe, expect, test } from 'vitest'
import { checkFreshness } from '../../src/doctor/freshness.js'
import type { TenantState } from '../../src/store/inspect.js'

const NOW = 1_795_428_000_000
const DAY_MS = 86_400_000

/** The state after a worker has read the log to its end, two seconds ago. */
const POLLED: TenantState = {
  domain: 'tenant.example',
  checkpoint: '900',
  asOf: NOW - 2_000,
  lastPollAt: NOW - 2_000,
  sweepFrom: null,
  gaps: 0,
  gapTo: null,
  gapReason: null,
  floorAt: null,
  now: NOW,
}

/** The state with two gaps: times whose entries Auth0 deleted before they were read. The later gap ends now. */
const GAP: TenantState = { ...POLLED, gaps: 2, gapTo: NOW, gapReason: 'retention' }

/** A gap can concern tokens for 31 days: a refresh token lives for 30 days, and its last access token for one day. */
const LIMITS = {
  maxLagMs: 60_000,
  pollIntervalMs: 5_000,
  maxTokenAgeMs: DAY_MS,
  maxRefreshAgeMs: 30 * DAY_MS,
}

const iso = (at: number) => new Date(at).toISOString()

describe('freshness', () => {
  test.each<[string, TenantState | null, string[]]>([
    ['a worker polls and the data is fresh', POLLED, ['ok', 'ok', 'ok']],
    [
      'the instants of the worker are slightly ahead of the clock',
      { ...POLLED, lastPollAt: NOW + 5, asOf: NOW + 5 },
      ['ok', 'ok', 'ok'],
    ],
    [
      'the lag is at the limit',
      { ...POLLED, asOf: NOW - 60_000, lastPollAt: NOW - 60_000 },
      ['ok', 'ok', 'ok'],
    ],
    [
      'no worker polls',
      { ...POLLED, asOf: NOW - 60_001, lastPollAt: NOW - 60_001 },
      ['failure', 'failure', 'ok'],
    ],
    ['a worker polls and is behind', { ...POLLED, asOf: NOW - 60_001 }, ['ok', 'failure', 'ok']],
    // A sweep searches the log of the time before the first start.
    ['a sweep runs', { ...POLLED, asOf: null, sweepFrom: NOW - 1e9 }, ['ok', 'warning', 'ok']],
    [
      '`asOf` is far ahead of the clock',
      { ...POLLED, asOf: NOW + 60_001 },
      ['ok', 'failure', 'ok'],
    ],
    [
      'a gap can concern a token for one more millisecond',
      { ...GAP, gapTo: NOW + 1 - 31 * DAY_MS },
      ['ok', 'ok', 'warning'],
    ],
    ['a gap can concern no token', { ...GAP, gapTo: NOW - 31 * DAY_MS }, ['ok', 'ok', 'ok']],
    ['a gap comes from the first start', { ...GAP, gapReason: 'cold_start' }, ['ok', 'ok', 'ok']],
    ['the floor is before the gap', { ...GAP, floorAt: NOW - 1 }, ['ok', 'ok', 'warning']],
    ['the floor is not before the gap', { ...GAP, floorAt: NOW }, ['ok', 'ok', 'ok']],
    ['no worker has used the database', null, ['warning', 'skipped', 'skipped']],
    [
      'no worker has polled',
      { ...POLLED, lastPollAt: null, asOf: null },
      ['warning', 'skipped', 'skipped'],
    ],
  ])(
    'the checks of worker, freshness and gaps have the right statuses if %s',
    (_what, tenant, expectedStatuses) => {
      const checks = checkFreshness(tenant, LIMITS)
      expect(checks.map(({ name }) => name)).toEqual(['worker', 'freshness', 'gaps'])
      expect(checks.map(({ status }) => status)).toEqual(expectedStatuses)
      for (const { status, advice } of checks) {
        expect(advice === undefined).toBe(status === 'ok' || status === 'skipped')
      }
    },
  )
})

test('the advice explains how to set MAX_LAG if cron runs the polls', () => {
  const polledLongAgo = { ...POLLED, asOf: NOW - 900_000, lastPollAt: NOW - 900_000 }
  const checks = checkFreshness(polledLongAgo, LIMITS)
  const advice = expect.stringMatching(/with cron, .*: set MAX_LAG above it/)
  expect(checks.slice(0, 2)).toMatchObject([{ advice }, { advice }])
})

describe('an open gap', () => {
  const checkGaps = (state: Partial<TenantState>) =>
    checkFreshness({ ...GAP, ...state }, LIMITS).find(({ name }) => name === 'gaps')

  test('the check of an open gap states until when it can concern tokens, the command that closes it, and the effect of this command', () => {
    const { message, advice } = checkGaps({}) ?? {}
    expect(message).toContain(`can concern tokens until ${iso(NOW + 31 * DAY_MS)}`)
    expect(advice).toContain(`\`last-logout floor raise ${iso(NOW)}\``)
    expect(advice).toContain(`only access tokens that expire by ${iso(NOW + DAY_MS)} anyway`)
  })

  test('the check reports a gap of the first start as expected, with the same details as another gap', () => {
    const { message } = checkGaps({ gapReason: 'cold_start' }) ?? {}
    expect(message).toMatch(/open: .*until 20.*Nothing has to be done.*floor raise .* anyway; with/)
  })

  test('the check reports a gap before the floor as closed', () => {
    expect(checkGaps({ floorAt: NOW })?.message).toMatch(/; closed: the floor rejects/)
  })
})
