import { test } from 'vitest'
import type { Check } from '../../src/doctor/check.js'
import { checkRetention } from '../../src/doctor/retention.js'
import { expectCheck } from './expect-check.js'

const NOW = 1_795_428_000_000
const DAY = 86_400_000

test.each<[string, number | null, number | null | undefined, Check['status'], RegExp]>([
  ['the log is read up to now', NOW - 5 * DAY, NOW, 'ok', /5 days ago: a shorter outage/],
  ['the log is read up to the oldest retained entry', NOW - DAY, NOW - DAY, 'ok', /loses nothing/],
  ['an entry was deleted before it was read', NOW - DAY, NOW - DAY - 1, 'failure', /may be lost/],
  [
    'the log is not read yet, and is retained long enough',
    NOW - 31 * DAY,
    null,
    'ok',
    /31 days ago/,
  ],
  [
    'the log is not read yet, and is not retained long enough',
    NOW - 31 * DAY + 1,
    null,
    'ok',
    /cannot find older logouts, as expected/,
  ],
  ['as_of is unknown', NOW - 3 * DAY, undefined, 'ok', /, 3 days ago$/],
  ['no entry is retained', null, NOW, 'warning', /no retained entry/],
])(
  'the check of the retention has the right status: %s',
  (_what, oldestAt, asOf, status, message) => {
    expectCheck(
      checkRetention(
        { oldestAt, asOf, now: NOW },
        { maxRefreshAgeMs: 30 * DAY, maxTokenAgeMs: DAY },
      ),
      status,
      message,
    )
  },
)
