import { describe, expect, test } from 'vitest'
import { checkFreshness } from '../../src/doctor/freshness.js'
import type { TenantState } from '../../src/store/inspect.js'

const NOW = 1_795_428_000_000

const POLLED: TenantState = {
  domain: 'tenant.example',
  checkpoint: '900',
  asOf: NOW - 2_000,
  lastPollAt: NOW - 2_000,
  sweepFrom: null,
  gaps: 0,
  gapTo: null,
  floorAt: null,
  now: NOW,
}

describe('freshness', () => {
  test.each<[string, TenantState | null, string[]]>([
    ['everything is well', POLLED, ['ok', 'ok', 'ok']],
    [
      'the instants are slightly ahead of the clock',
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
    ['a sweep runs', { ...POLLED, asOf: null, sweepFrom: NOW - 1e9 }, ['ok', 'warning', 'ok']],
    [
      'the instant is far ahead of the clock',
      { ...POLLED, asOf: NOW + 60_001 },
      ['ok', 'failure', 'ok'],
    ],
    ['a gap is known', { ...POLLED, gaps: 2, gapTo: 1 }, ['ok', 'ok', 'warning']],
    [
      'the floor is not before the gap',
      { ...POLLED, gaps: 2, gapTo: 1, floorAt: 1 },
      ['ok', 'ok', 'ok'],
    ],
    ['no worker has used the database', null, ['warning', 'skipped', 'skipped']],
    [
      'no worker has polled',
      { ...POLLED, lastPollAt: null, asOf: null },
      ['warning', 'skipped', 'skipped'],
    ],
  ])('is judged where %s', (_what, tenant, statuses) => {
    const checks = checkFreshness(tenant, { maxLagMs: 60_000, pollIntervalMs: 5_000 })
    expect(checks.map(({ name }) => name)).toEqual(['worker', 'freshness', 'gaps'])
    expect(checks.map(({ status }) => status)).toEqual(statuses)
    for (const { status, advice } of checks) {
      expect(advice === undefined).toBe(status === 'ok' || status === 'skipped')
    }
  })
})

test('the advice names the MAX_LAG that polls by cron need', () => {
  const longAgo = { ...POLLED, asOf: NOW - 900_000, lastPollAt: NOW - 900_000 }
  const checks = checkFreshness(longAgo, { maxLagMs: 60_000, pollIntervalMs: 5_000 })
  const advice = expect.stringMatching(/with cron, .*: set MAX_LAG above it/)
  expect(checks.slice(0, 2)).toMatchObject([{ advice }, { advice }])
})
