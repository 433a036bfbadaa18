import { test } from 'vitest'
import type { Check } from '../../src/doctor/check.js'
import { checkRetention } from '../../src/doctor/retention.js'
import { DAY_MS } from '../../src/rules/instant.js'
import { expectCheck } from './expect-check.js'

const NOW = 1_795_428_000_000

/** A logout can concern tokens for 31 days: the sum of both maximum ages. */
const TOKEN_AGES = { maxRefreshAgeMs: 30 * DAY_MS, maxTokenAgeMs: DAY_MS }

interface Facts {
  /** When Auth0 stored the oldest entry that it retains; `null`: it retains no entry. */
  oldestAt: number | null
  /** The log was read up to this instant; `null`: nothing was read yet; undefined: unknown. */
  asOf: number | null | undefined
}

test.each<[Check['status'], condition: string, Facts, message: RegExp]>([
  [
    'ok',
    'the log is read up to now',
    { oldestAt: NOW - 5 * DAY_MS, asOf: NOW },
    /5 days ago: a shorter outage/,
  ],
  [
    'ok',
    'the log is read up to the oldest retained entry',
    { oldestAt: NOW - DAY_MS, asOf: NOW - DAY_MS },
    /loses nothing/,
  ],
  [
    'failure',
    'the log is read up to one millisecond before the oldest retained entry',
    { oldestAt: NOW - DAY_MS, asOf: NOW - DAY_MS - 1 },
    /may be lost/,
  ],
  [
    'ok',
    'nothing was read yet, and the log goes back 31 days',
    { oldestAt: NOW - 31 * DAY_MS, asOf: null },
    /31 days ago: a shorter outage/,
  ],
  [
    'ok',
    'nothing was read yet, and the log goes back less than 31 days',
    { oldestAt: NOW - 31 * DAY_MS + 1, asOf: null },
    /cannot find older logouts, as expected/,
  ],
  [
    'ok',
    'it is unknown how far the log was read',
    { oldestAt: NOW - 3 * DAY_MS, asOf: undefined },
    /, 3 days ago$/,
  ],
  ['warning', 'Auth0 retains no entry', { oldestAt: null, asOf: NOW }, /no retained entry/],
])('the check of the retention has the status %s if %s', (status, _condition, facts, message) => {
  expectCheck(checkRetention({ ...facts, now: NOW }, TOKEN_AGES), status, message)
})
