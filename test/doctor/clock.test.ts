import { expect, test } from 'vitest'
import type { Check } from '../../src/doctor/check.js'
import { type ClockReading, checkClock, checkDatabaseClock } from '../../src/doctor/clock.js'
import { DAY_MS } from '../../src/rules/instant.js'
import { expectCheck } from './expect-check.js'

const NOW = 1_795_428_000_000

// The checks compare a clock with the header `Date` of a response of Auth0 (`serverAt`). This header contains whole
// seconds, so a difference is known to one second: the checks use the smaller value, and report it if it exceeds two
// seconds.
test.each<[Check['status'], condition: string, ClockReading, message: RegExp]>([
  ['ok', 'is equal', { sentAt: NOW, receivedAt: NOW + 80, serverAt: NOW }, /agrees/],
  [
    'ok',
    'differs by less than the precision of Date',
    { sentAt: NOW + 900, receivedAt: NOW + 980, serverAt: NOW },
    /agrees/,
  ],
  [
    'ok',
    'is equal, but the response takes nine seconds',
    { sentAt: NOW, receivedAt: NOW + 9_000, serverAt: NOW + 4_000 },
    /agrees/,
  ],
  [
    'ok',
    'is three seconds ahead',
    { sentAt: NOW + 3_000, receivedAt: NOW + 3_100, serverAt: NOW },
    /agrees/,
  ],
  [
    'warning',
    'is one millisecond more than three seconds ahead',
    { sentAt: NOW + 3_001, receivedAt: NOW + 3_100, serverAt: NOW },
    /2 s ahead of/,
  ],
  [
    'warning',
    'is 29 seconds behind',
    { sentAt: NOW - 30_000, receivedAt: NOW - 29_000, serverAt: NOW },
    /29 s behind/,
  ],
  [
    'warning',
    'is at least 119 seconds ahead',
    { sentAt: NOW + 120_000, receivedAt: NOW + 120_100, serverAt: NOW },
    /119 s ahead of/,
  ],
  [
    'warning',
    'cannot be compared, because the response has no Date header',
    { sentAt: NOW, receivedAt: NOW, serverAt: null },
    /no Date header/,
  ],
])(
  'the check of the clock of this machine has the status %s if the clock %s',
  (status, _condition, reading, message) => {
    expectCheck(checkClock(reading), status, message)
  },
)

interface ClockDifferences {
  /** How far the clock of this machine is ahead of Auth0's clock, in milliseconds. */
  machineAheadMs: number
  /** How far the clock of the database is ahead of the clock of this machine, in milliseconds. */
  databaseAheadMs: number
}

test.each<[Check['status'], condition: string, ClockDifferences, message: RegExp]>([
  ['ok', 'is equal', { machineAheadMs: 0, databaseAheadMs: 0 }, /agrees/],
  [
    'ok',
    'is equal, and the clock of this machine is a day ahead',
    { machineAheadMs: DAY_MS, databaseAheadMs: -DAY_MS },
    /agrees/,
  ],
  [
    'warning',
    'is 30 seconds behind',
    { machineAheadMs: 0, databaseAheadMs: -30_000 },
    /30 s behind the clock of Auth0: lags .* are wrong/,
  ],
  [
    'failure',
    'is at least two minutes ahead',
    { machineAheadMs: 0, databaseAheadMs: 121_000 },
    /2 minutes ahead of .*: .* end tokens of later logins/,
  ],
  [
    'failure',
    'is an hour behind',
    { machineAheadMs: 0, databaseAheadMs: -3_600_000 },
    /60 minutes behind .*: logouts are stored/,
  ],
])(
  'the check of the clock of the database has the status %s if the clock %s',
  (status, _condition, { machineAheadMs, databaseAheadMs }, message) => {
    const machineNow = NOW + machineAheadMs
    const reading = { sentAt: machineNow, receivedAt: machineNow, serverAt: NOW }
    expectCheck(checkDatabaseClock(reading, databaseAheadMs), status, message)
  },
)

test('the check of the clock of the database is skipped if the time of the database is unknown', () => {
  const reading = { sentAt: NOW, receivedAt: NOW, serverAt: NOW }
  expect(checkDatabaseClock(reading, null).status).toBe('skipped')
})
