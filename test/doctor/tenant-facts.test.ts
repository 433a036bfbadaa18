import { describe, expect, test } from 'vitest'
import type { ActionStatus } from '../../src/auth0/actions/login-action.js'
import { toActionCheck } from '../../src/doctor/action.js'
import { checkClock, checkDatabaseClock } from '../../src/doctor/clock.js'
import { checkLogouts, checkStorageDelay, countAttribution } from '../../src/doctor/logouts.js'
import { checkPage, checkSyntheticId } from '../../src/doctor/probe.js'
import { checkRetention } from '../../src/doctor/retention.js'
import { checkScopes } from '../../src/doctor/scopes.js'
import { syntheticLogId } from '../../src/rules/log-id.js'

const NOW = 1_795_428_000_000
const DAY = 86_400_000

/** Expects a check, with advice unless it is `ok`. */
function expectCheck(
  check: { status: string; message: string; advice?: string },
  status: string,
  message: RegExp,
) {
  expect(check).toMatchObject({ status, message: expect.stringMatching(message) })
  expect(check.advice === undefined).toBe(status === 'ok')
}

test.each<[string, string[] | null, string, RegExp]>([
  ['the required ones', ['read:logs', 'read:logs_users'], 'ok', /read:logs, read:logs_users/],
  [
    'those and read:actions',
    ['read:logs', 'read:logs_users', 'read:actions'],
    'ok',
    /read:actions/,
  ],
  ['no read:logs', ['read:users'], 'failure', /read:logs is missing \(read:users\)/],
  ['none', [], 'failure', /\(none\)/],
  ['no read:logs_users', ['read:logs'], 'warning', /read:logs_users is missing/],
  [
    'more than are needed',
    ['read:logs', 'read:logs_users', 'update:users'],
    'warning',
    /more scopes than are needed: update:users/,
  ],
  ['not stated', null, 'warning', /does not state/],
])('scopes: %s', (_what, scopes, status, message) => {
  expectCheck(checkScopes(scopes), status, message)
})

test.each<[string, number, number, number | null, string, RegExp]>([
  ['the same second', NOW, NOW + 80, NOW, 'ok', /agrees/],
  ['within the precision of Date', NOW + 900, NOW + 980, NOW, 'ok', /agrees/],
  ['a slow response', NOW, NOW + 9_000, NOW + 4_000, 'ok', /agrees/],
  ['3 s ahead, which may be 2 s', NOW + 3_000, NOW + 3_100, NOW, 'ok', /agrees/],
  ['one millisecond more', NOW + 3_001, NOW + 3_100, NOW, 'warning', /2 s ahead of/],
  ['behind', NOW - 30_000, NOW - 29_000, NOW, 'warning', /29 s behind/],
  ['far ahead', NOW + 120_000, NOW + 120_100, NOW, 'warning', /119 s ahead of/],
  ['no Date header', NOW, NOW, null, 'warning', /no Date header/],
])('clock: %s', (_what, sentAt, receivedAt, serverAt, status, message) => {
  expectCheck(checkClock({ sentAt, receivedAt, serverAt }), status, message)
})

test.each<[string, number, number, string, RegExp]>([
  ['agrees', 0, 0, 'ok', /agrees/],
  ['agrees, and this machine is a day ahead', 86_400_000, -86_400_000, 'ok', /agrees/],
  ['30 s behind', 0, -30_000, 'warning', /30 s behind the clock of Auth0: lags .* are wrong/],
  ['120 s ahead', 0, 121_000, 'failure', /2 minutes ahead of .*: .* end tokens of later logins/],
  ['an hour behind', 0, -3_600_000, 'failure', /60 minutes behind .*: logouts are stored/],
])('database clock: %s', (_what, machineAheadMs, databaseAheadMs, status, message) => {
  const at = NOW + machineAheadMs
  const reading = { sentAt: at, receivedAt: at, serverAt: NOW }
  expectCheck(checkDatabaseClock(reading, databaseAheadMs), status, message)
})

test('the check of the database clock is skipped where its time is unknown', () => {
  const reading = { sentAt: NOW, receivedAt: NOW, serverAt: NOW }
  expect(checkDatabaseClock(reading, null).status).toBe('skipped')
})

test.each<[string, number | null, number | null | undefined, string, RegExp]>([
  ['read up to now', NOW - 5 * DAY, NOW, 'ok', /5 days ago: a shorter outage/],
  ['read up to the oldest retained entry', NOW - DAY, NOW - DAY, 'ok', /loses nothing/],
  ['an entry was deleted before it was read', NOW - DAY, NOW - DAY - 1, 'failure', /may be lost/],
  ['not read yet, retained long enough', NOW - 30 * DAY, null, 'ok', /30 days ago/],
  [
    'not read yet, retained too short',
    NOW - 30 * DAY + 1,
    null,
    'ok',
    /cannot find older logouts, as expected/,
  ],
  ['unknown whether it was read', NOW - 3 * DAY, undefined, 'ok', /, 3 days ago$/],
  ['no entry is retained', null, NOW, 'warning', /no retained entry/],
])('retention: %s', (_what, oldestAt, asOf, status, message) => {
  expectCheck(
    checkRetention({ oldestAt, asOf, now: NOW }, { maxRefreshAgeMs: 30 * DAY }),
    status,
    message,
  )
})

describe('slo entries', () => {
  const slo = (user_id: unknown, session_id?: string) => ({
    type: 'slo',
    log_id: syntheticLogId(NOW),
    user_id,
    details: { session_id },
  })
  test('are counted by what they name', () => {
    const entries = [slo('auth0|1', 'S'), slo('auth0|2'), slo('', 'S2'), slo(null), 'rubbish']
    expect(countAttribution(entries)).toEqual({
      logouts: 5,
      withUser: 2,
      withSession: 2,
      unattributable: 2,
    })
  })

  test.each([
    [
      'all name a user and a session',
      10,
      10,
      10,
      0,
      'session',
      'ok',
      /100 % name a user, 100 % a session/,
    ],
    ['some lack a session', 10, 10, 9, 0, 'session', 'warning', /90 % a session; .* without a/],
    ['some lack a session with the policy user', 10, 10, 9, 0, 'user', 'ok', /90 % a session/],
    ['some name neither', 10, 8, 8, 2, 'user', 'warning', /2 cannot be attributed/],
    ['there are none', 0, 0, 0, 0, 'user', 'warning', /no slo entry/],
  ] as const)(
    'are judged where %s',
    (_what, logouts, withUser, withSession, unattributable, policy, status, message) => {
      const check = checkLogouts({ logouts, withUser, withSession, unattributable }, policy)
      expectCheck(check, status, message)
    },
  )

  test.each<[string, number[], string, RegExp]>([
    [
      'the usual one',
      [3_000, 1_000, 5_000],
      'ok',
      /3 s after they happen, at most 5 s \(3 entries\)/,
    ],
    ['long for one entry', [1_000, 2_000, 3_600_000], 'ok', /at most 60 minutes/],
    ['long', [61_000], 'warning', /61 s after/],
    ['unknown', [], 'warning', /no entry states it/],
  ])('are stored with a delay: %s', (_what, delays, status, message) => {
    const entries = delays.map((ms) => ({
      log_id: syntheticLogId(NOW),
      date: new Date(NOW - ms).toISOString(),
    }))
    expectCheck(checkStorageDelay([...entries, { log_id: 'x' }, null]), status, message)
  })
})

const action: ActionStatus = {
  exists: true,
  current: true,
  deployed: true,
  position: 2,
  bindings: 3,
  secretNames: ['LAST_LOGOUT_URL', 'LAST_LOGOUT_API_KEY'],
}
test.each<[string, Partial<ActionStatus>, string, RegExp]>([
  ['bound and current', {}, 'ok', /bound as 2 of 3/],
  ['missing', { exists: false }, 'warning', /judged by iat alone/],
  ['not bound', { position: null }, 'warning', /never runs/],
  ['changed and not deployed', { deployed: false }, 'warning', /its draft is not deployed/],
  ['from another version', { current: false }, 'warning', /another version/],
  [
    'without its API key',
    { secretNames: ['LAST_LOGOUT_URL'] },
    'warning',
    /secret LAST_LOGOUT_API_KEY/,
  ],
])('the login Action: %s', (_what, over, status, message) => {
  expectCheck(toActionCheck({ ...action, ...over }), status, message)
})

describe('the probe', () => {
  const id = (n: number) => syntheticLogId(NOW + n * 1000)
  const respond = (numbers: number[], status = 200) => ({
    status,
    entries: numbers.map((n) => ({ log_id: id(n) })),
    hasLink: true,
    limit: null,
    clock: { sentAt: NOW, receivedAt: NOW, serverAt: NOW },
  })
  const upTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1)

  test.each<[string, ReturnType<typeof respond>, string, RegExp]>([
    [
      'ascending',
      respond(upTo(10)),
      'ok',
      /10 entries in ascending order, no duplicates, with a Link$/,
    ],
    ['short before the end of the log', respond(upTo(9)), 'ok', /fewer than requested before/],
    ['with the entry of the checkpoint', respond([0, 1]), 'failure', /not strictly newer/],
    ['descending', respond([3, 2]), 'failure', /not strictly newer/],
    ['with a duplicate', respond([1, 1]), 'failure', /not strictly newer/],
    ['refused', respond([], 404), 'failure', /answered with 404/],
  ])('judges a page: %s', (_what, given, status, message) => {
    expect(checkPage(given, id(0), 50)).toMatchObject({
      status,
      message: expect.stringMatching(message),
    })
  })

  test.each<[string, ReturnType<typeof respond>, string]>([
    ['accepted as a position', respond([5, 6]), 'ok'],
    ['accepted, with a newer entry before the known one', respond([4, 5]), 'ok'],
    ['accepted, with an entry missing', respond([6]), 'failure'],
    ['not accepted: the page is empty', respond([]), 'failure'],
    ['not accepted: the request is refused', respond([], 400), 'failure'],
  ])('judges the response for a synthetic id: %s', (_what, given, status) => {
    expect(checkSyntheticId(given, id(5)).status).toBe(status)
  })
})
