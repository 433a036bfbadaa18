import { describe, expect, test } from 'vitest'
import { checkFreshness } from '../../src/doctor/freshness.js'
import { DAY_MS } from '../../src/rules/instant.js'
import type { TenantState } from '../../src/store/inspect.js'

const NOW = 1_795_428_000_000
const MAX_LAG_MS = 60_000

/** A gap can concern tokens for this time: a refresh token lives for 30 days, its last access token for one day. */
const TOKEN_HORIZON_MS = 31 * DAY_MS

const LIMITS = {
  maxLagMs: MAX_LAG_MS,
  pollIntervalMs: 5_000,
  maxTokenAgeMs: DAY_MS,
  maxRefreshAgeMs: 30 * DAY_MS,
}

/** The state after a worker has read the log to its end, two seconds ago. */
const POLLED: TenantState = {
  domain: 'tenant.example',
  checkpoint: '900',
  // The log was read up to this instant.
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
const WITH_GAPS: TenantState = { ...POLLED, gaps: 2, gapTo: NOW, gapReason: 'retention' }

const iso = (at: number) => new Date(at).toISOString()

describe('the checks of worker, freshness and gaps', () => {
  test.each<[statuses: string, condition: string, TenantState | null]>([
    ['ok, ok, ok', 'a worker has polled two seconds ago', POLLED],
    [
      'ok, ok, ok',
      'the instants of the worker are 5 ms ahead of the clock',
      { ...POLLED, lastPollAt: NOW + 5, asOf: NOW + 5 },
    ],
    [
      'ok, ok, ok',
      'the last poll was exactly MAX_LAG ago',
      { ...POLLED, asOf: NOW - MAX_LAG_MS, lastPollAt: NOW - MAX_LAG_MS },
    ],
    [
      'failure, failure, ok',
      'the last poll was longer than MAX_LAG ago',
      { ...POLLED, asOf: NOW - MAX_LAG_MS - 1, lastPollAt: NOW - MAX_LAG_MS - 1 },
    ],
    [
      'ok, failure, ok',
      'a worker polls, but has not read the last MAX_LAG of the log',
      { ...POLLED, asOf: NOW - MAX_LAG_MS - 1 },
    ],
    [
      'ok, warning, ok',
      'a worker still searches the log of the time before its first start',
      { ...POLLED, asOf: null, sweepFrom: NOW - 12 * DAY_MS },
    ],
    [
      'ok, failure, ok',
      'the log was read up to an instant that is far ahead of the clock',
      { ...POLLED, asOf: NOW + 60_001 },
    ],
    [
      'ok, ok, warning',
      'a gap can concern tokens for one more millisecond',
      { ...WITH_GAPS, gapTo: NOW - TOKEN_HORIZON_MS + 1 },
    ],
    [
      'ok, ok, ok',
      'a gap can concern no token any more',
      { ...WITH_GAPS, gapTo: NOW - TOKEN_HORIZON_MS },
    ],
    ['ok, ok, ok', 'a gap comes from the first start', { ...WITH_GAPS, gapReason: 'cold_start' }],
    // The floor ends the tokens of all earlier logins, so it closes a gap that ends by then.
    ['ok, ok, warning', 'the floor is before the end of a gap', { ...WITH_GAPS, floorAt: NOW - 1 }],
    ['ok, ok, ok', 'the floor is at the end of a gap', { ...WITH_GAPS, floorAt: NOW }],
    ['warning, skipped, skipped', 'no worker has used the database', null],
    [
      'warning, skipped, skipped',
      'no worker has polled',
      { ...POLLED, lastPollAt: null, asOf: null },
    ],
  ])(
    'the checks of worker, freshness and gaps have the statuses %s if %s',
    (statuses, _condition, tenant) => {
      const checks = checkFreshness(tenant, LIMITS)
      expect(checks.map(({ name }) => name)).toEqual(['worker', 'freshness', 'gaps'])
      expect(checks.map(({ status }) => status).join(', ')).toBe(statuses)
      for (const { status, advice } of checks) {
        expect(advice === undefined).toBe(status === 'ok' || status === 'skipped')
      }
    },
  )

  test('the advice for an old last poll explains how to set MAX_LAG if cron runs the polls', () => {
    const fifteenMinutesAgo = NOW - 15 * 60_000
    const polledLongAgo = { ...POLLED, asOf: fifteenMinutesAgo, lastPollAt: fifteenMinutesAgo }
    const [worker, freshness] = checkFreshness(polledLongAgo, LIMITS)
    const advice = expect.stringMatching(/with cron, .*: set MAX_LAG above it/)
    expect([worker, freshness]).toMatchObject([{ advice }, { advice }])
  })
})

describe('the check of gaps', () => {
  const checkGaps = (overrides: Partial<TenantState>) =>
    checkFreshness({ ...WITH_GAPS, ...overrides }, LIMITS).find(({ name }) => name === 'gaps')

  test('the check of an open gap states until when it can concern tokens, the command that closes it, and the effect of this command', () => {
    const { message, advice } = checkGaps({}) ?? {}
    expect(message).toContain(`can concern tokens until ${iso(NOW + TOKEN_HORIZON_MS)}`)
    expect(advice).toContain(`\`last-logout floor raise ${iso(NOW)}\``)
    expect(advice).toContain(`only access tokens that expire by ${iso(NOW + DAY_MS)} anyway`)
  })

  test('the check reports a gap of the first start as expected, with the same details as another gap', () => {
    const { message } = checkGaps({ gapReason: 'cold_start' }) ?? {}
    expect(message).toMatch(/open: .*until 20.*Nothing has to be done.*floor raise .* anyway; with/)
  })

  test('the check reports a gap that ends at the floor as closed', () => {
    expect(checkGaps({ floorAt: NOW })?.message).toMatch(/; closed: the floor rejects/)
  })
})
