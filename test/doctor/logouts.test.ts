import { describe, expect, test } from 'vitest'
import type { Check } from '../../src/doctor/check.js'
import { checkLogouts, checkStorageDelay, countAttribution } from '../../src/doctor/logouts.js'
import { syntheticLogId } from '../../src/rules/log-id.js'
import { expectCheck } from './expect-check.js'

const NOW = 1_795_428_000_000

describe('slo entries', () => {
  const buildSloEntry = (user_id: unknown, session_id?: string) => ({
    type: 'slo',
    log_id: syntheticLogId(NOW),
    user_id,
    details: { session_id },
  })
  test('countAttribution counts the slo entries with a user, those with a session, and the unattributable entries with neither', () => {
    const entries = [
      buildSloEntry('auth0|1', 'S'),
      buildSloEntry('auth0|2'),
      buildSloEntry('', 'S2'),
      buildSloEntry(null),
      'rubbish',
    ]
    expect(countAttribution(entries)).toEqual({
      logouts: 5,
      withUser: 2,
      withSession: 2,
      unattributable: 2,
    })
  })

  // The numbers count the slo entries: all, with a user, with a session, and unattributable.
  test.each([
    [
      'all entries name a user and a session',
      10,
      10,
      10,
      0,
      'session',
      'ok',
      /100 % name a user, 100 % a session/,
    ],
    [
      'some entries lack a session',
      10,
      10,
      9,
      0,
      'session',
      'warning',
      /90 % a session; .* without a/,
    ],
    [
      'some entries lack a session, with the policy user',
      10,
      10,
      9,
      0,
      'user',
      'ok',
      /90 % a session/,
    ],
    [
      'some entries name neither a user nor a session',
      10,
      8,
      8,
      2,
      'user',
      'warning',
      /2 cannot be attributed/,
    ],
    ['there is no entry', 0, 0, 0, 0, 'user', 'warning', /no slo entry/],
  ] as const)(
    'the check of slo entries has the right status if %s',
    (_what, logouts, withUser, withSession, unattributable, policy, status, message) => {
      const check = checkLogouts({ logouts, withUser, withSession, unattributable }, policy)
      expectCheck(check, status, message)
    },
  )

  test.each<[string, number[], Check['status'], RegExp]>([
    ['usual', [3_000, 1_000, 5_000], 'ok', /3 s after they happen, at most 5 s \(3 entries\)/],
    ['long for one entry', [1_000, 2_000, 3_600_000], 'ok', /at most 60 minutes/],
    ['long', [61_000], 'warning', /61 s after/],
    ['unknown', [], 'warning', /no entry states it/],
  ])(
    'the check of the storage delay has the right status if the delay is %s',
    (_what, delaysMs, status, message) => {
      const entries = delaysMs.map((ms) => ({
        log_id: syntheticLogId(NOW),
        date: new Date(NOW - ms).toISOString(),
      }))
      // The last two entries have no date, so that the check ignores them.
      expectCheck(checkStorageDelay([...entries, { log_id: 'x' }, null]), status, message)
    },
  )
})
