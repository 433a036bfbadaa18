import { test } from 'vitest'
import type { Check } from '../../src/doctor/check.js'
import { checkRetention } from '../../src/doctor/retention.js'
import { expectCheck } from './expect-check.js'

const NOW = 1_795_428_000_000
const DAY_MS = 86_400_000

test.each<[string, number | null, number | null | undefined, Check['status'], RegExp]>([
  ['the log is read up to now', NOW - 5 * DAY_MS, NOW, 'ok', /5 days ago: a shorter outage/],
  [
    'the log is read up to the oldest retained entry',
    NOW - DAY_MS,
    NOW - DAY_MS,
    'ok',
    /loses nothing/,
  ],
  [
    'an entry was deleted before it was read',
    NOW - DAY_MS,
    NOW - DAY_MS - 1,
    'failure',
    /may be lost/,
  ],
  // A gap can concern tokens for 31 days: the sum of the two maximum ages below.
  [
    'the log is not read yet, and is retained long enough',
    NOW - 31 * DAY_MS,
    null,
    'ok',
    /31 days ago/,
  ],
  [
    'the log is not read yet, and is not retained long enough',
    NOW - 31 * DAY_MS + 1,
    null,
    'ok',
    /cannot find older logouts, as expected/,
  ],
  // `as_of` is the instant up to which the log was read.
  ['as_of is unknown', NOW - 3 * DAY_MS, undefined, 'ok', /, 3 days ago$/],
  ['no entry is retained', null, NOW, 'warning', /no retained entry/],
])(
  'the check of the retention has the right status if %s',
  (_what, oldestAt, asOf, status, message) => {
    expectCheck(
      checkRetention(
        { oldestAt, asOf, now: NOW },
        { maxRefreshAgeMs: 30 * DAY_MS, maxTokenAgeMs: DAY_MS },
      ),
      status,
      message,
    )
  },
)
