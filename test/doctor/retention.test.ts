import { test } from 'vitest'
import type { Check } from '../../src/doctor/check.js'
import { checkRetention } from '../../src/doctor/retention.js'
import { expectCheck } from './expect-check.js'

const NOW = 1_795_428_000_000
const DAY = 86_400_000

test.each<[string, number | null, number | null | undefined, Check['status'], RegExp]>([
  ['read up to now', NOW - 5 * DAY, NOW, 'ok', /5 days ago: a shorter outage/],
  ['read up to the oldest retained entry', NOW - DAY, NOW - DAY, 'ok', /loses nothing/],
  ['an entry was deleted before it was read', NOW - DAY, NOW - DAY - 1, 'failure', /may be lost/],
  ['not read yet, retained long enough', NOW - 31 * DAY, null, 'ok', /31 days ago/],
  [
    'not read yet, retained too short',
    NOW - 31 * DAY + 1,
    null,
    'ok',
    /cannot find older logouts, as expected/,
  ],
  ['unknown whether it was read', NOW - 3 * DAY, undefined, 'ok', /, 3 days ago$/],
  ['no entry is retained', null, NOW, 'warning', /no retained entry/],
])('the retention of the log is judged: %s', (_what, oldestAt, asOf, status, message) => {
  expectCheck(
    checkRetention({ oldestAt, asOf, now: NOW }, { maxRefreshAgeMs: 30 * DAY, maxTokenAgeMs: DAY }),
    status,
    message,
  )
})
