import { expect, test } from 'vitest'
import type { Check } from '../../src/doctor/check.js'
import { checkClock, checkDatabaseClock } from '../../src/doctor/clock.js'
import { expectCheck } from './expect-check.js'

const NOW = 1_795_428_000_000

test.each<[string, number, number, number | null, Check['status'], RegExp]>([
  ['the same second', NOW, NOW + 80, NOW, 'ok', /agrees/],
  ['within the precision of Date', NOW + 900, NOW + 980, NOW, 'ok', /agrees/],
  ['a slow response', NOW, NOW + 9_000, NOW + 4_000, 'ok', /agrees/],
  [
    '3 s ahead, which is 2 s plus the precision of Date',
    NOW + 3_000,
    NOW + 3_100,
    NOW,
    'ok',
    /agrees/,
  ],
  ['one millisecond more than 3 s ahead', NOW + 3_001, NOW + 3_100, NOW, 'warning', /2 s ahead of/],
  ['behind', NOW - 30_000, NOW - 29_000, NOW, 'warning', /29 s behind/],
  ['far ahead', NOW + 120_000, NOW + 120_100, NOW, 'warning', /119 s ahead of/],
  ['no Date header', NOW, NOW, null, 'warning', /no Date header/],
])(
  'the check of the clock of this machine has the right status: %s',
  (_what, sentAt, receivedAt, serverAt, status, message) => {
    expectCheck(checkClock({ sentAt, receivedAt, serverAt }), status, message)
  },
)

test.each<[string, number, number, Check['status'], RegExp]>([
  ['agrees', 0, 0, 'ok', /agrees/],
  ['agrees, and this machine is a day ahead', 86_400_000, -86_400_000, 'ok', /agrees/],
  ['30 s behind', 0, -30_000, 'warning', /30 s behind the clock of Auth0: lags .* are wrong/],
  ['120 s ahead', 0, 121_000, 'failure', /2 minutes ahead of .*: .* end tokens of later logins/],
  ['an hour behind', 0, -3_600_000, 'failure', /60 minutes behind .*: logouts are stored/],
])(
  'the check of the clock of the database has the right status: %s',
  (_what, machineAheadMs, databaseAheadMs, status, message) => {
    const at = NOW + machineAheadMs
    const reading = { sentAt: at, receivedAt: at, serverAt: NOW }
    expectCheck(checkDatabaseClock(reading, databaseAheadMs), status, message)
  },
)

test('the check of the database clock is skipped if the time of a clock is unknown', () => {
  const reading = { sentAt: NOW, receivedAt: NOW, serverAt: NOW }
  expect(checkDatabaseClock(reading, null).status).toBe('skipped')
})
