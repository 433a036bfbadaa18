import { describe, expect, test } from 'vitest'
import type { Check } from '../../src/doctor/check.js'
import {
  type Attribution,
  checkLogouts,
  checkStorageDelay,
  countAttribution,
} from '../../src/doctor/logouts.js'
import type { Policy } from '../../src/rules/judge.js'
import { syntheticLogId } from '../../src/rules/log-id.js'
import { expectCheck } from './expect-check.js'

const NOW = 1_795_428_000_000

// Auth0 writes an `slo` entry for each logout. An entry that names neither a user nor a session is unattributable.
describe('slo entries', () => {
  const buildSloEntry = (user_id: unknown, session_id?: string) => ({
    type: 'slo',
    log_id: syntheticLogId(NOW),
    user_id,
    details: { session_id },
  })

  test('countAttribution counts the entries with a user, those with a session, and those that are unattributable', () => {
    const entries = [
      buildSloEntry('auth0|1', 'S'),
      buildSloEntry('auth0|2'),
      buildSloEntry('', 'S2'),
      buildSloEntry(null),
      'no object',
    ]
    expect(countAttribution(entries)).toEqual({
      logouts: 5,
      withUser: 2,
      withSession: 2,
      unattributable: 2,
    })
  })

  // With the policy `session`, a logout ends the tokens of its session only. An entry without a session ends the tokens
  // of all sessions of its user, hence the warning.
  test.each<[Check['status'], Policy, condition: string, Attribution, message: RegExp]>([
    [
      'ok',
      'session',
      'all entries name a user and a session',
      { logouts: 10, withUser: 10, withSession: 10, unattributable: 0 },
      /100 % name a user, 100 % a session/,
    ],
    [
      'warning',
      'session',
      'one of ten entries names no session',
      { logouts: 10, withUser: 10, withSession: 9, unattributable: 0 },
      /90 % a session; .* without a/,
    ],
    [
      'ok',
      'user',
      'one of ten entries names no session',
      { logouts: 10, withUser: 10, withSession: 9, unattributable: 0 },
      /90 % a session/,
    ],
    [
      'warning',
      'user',
      'two entries are unattributable',
      { logouts: 10, withUser: 8, withSession: 8, unattributable: 2 },
      /2 cannot be attributed/,
    ],
    [
      'warning',
      'user',
      'there is no entry',
      { logouts: 0, withUser: 0, withSession: 0, unattributable: 0 },
      /no slo entry/,
    ],
  ])(
    'the check of slo entries has the status %s with the policy %s if %s',
    (status, policy, _condition, attribution, message) => {
      expectCheck(checkLogouts(attribution, policy), status, message)
    },
  )
})

// The storage delay is the time from an event until Auth0 has stored its entry. The median of all delays counts.
describe('the storage delay', () => {
  test.each<[Check['status'], condition: string, delaysMs: number[], message: RegExp]>([
    [
      'ok',
      'all delays are short',
      [3_000, 1_000, 5_000],
      /3 s after they happen, at most 5 s \(3 entries\)/,
    ],
    ['ok', 'one of three delays is an hour', [1_000, 2_000, 3_600_000], /at most 60 minutes/],
    ['warning', 'the median is longer than a minute', [61_000], /61 s after/],
    ['warning', 'no entry states a delay', [], /no entry states it/],
  ])(
    'the check of the storage delay has the status %s if %s',
    (status, _condition, delaysMs, message) => {
      const entries = delaysMs.map((delayMs) => ({
        log_id: syntheticLogId(NOW),
        date: new Date(NOW - delayMs).toISOString(),
      }))
      const entriesWithoutTimes = [{ log_id: 'x' }, null]
      expectCheck(checkStorageDelay([...entries, ...entriesWithoutTimes]), status, message)
    },
  )
})
