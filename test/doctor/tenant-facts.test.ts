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

/** Whoever is told that something is not as it should be is told what to do. */
function expectCheck(
  check: { status: string; message: string; advice?: string },
  status: string,
  message: RegExp,
) {
  expect(check).toMatchObject({ status, message: expect.stringMatching(message) })
  expect(check.advice === undefined).toBe(status === 'ok')
}

test.each<[string, string[] | null, string, RegExp]>([
  ['what is needed', ['read:logs', 'read:logs_users'], 'ok', /read:logs, read:logs_users/],
  ['read:actions too', ['read:logs', 'read:logs_users', 'read:actions'], 'ok', /read:actions/],
  ['no read:logs', ['read:users'], 'failure', /read:logs is missing \(read:users\)/],
  ['nothing', [], 'failure', /\(none\)/],
  ['no read:logs_users', ['read:logs'], 'warning', /read:logs_users is missing/],
  [
    'more',
    ['read:logs', 'read:logs_users', 'update:users'],
    'warning',
    /more than is needed: update:users/,
  ],
  ['not told', null, 'warning', /does not name/],
])('scopes: %s', (_what, scopes, status, message) => {
  expectCheck(checkScopes(scopes), status, message)
})

test.each<[string, number, number, number | null, string, RegExp]>([
  ['the same second', NOW, NOW + 80, NOW, 'ok', /agrees/],
  ['within the whole seconds of Date', NOW + 900, NOW + 980, NOW, 'ok', /agrees/],
  ['a slow answer', NOW, NOW + 9_000, NOW + 4_000, 'ok', /agrees/],
  ['3 s tolerated', NOW + 3_000, NOW + 3_100, NOW, 'ok', /agrees/],
  ['just beyond', NOW + 3_001, NOW + 3_100, NOW, 'warning', /2 s ahead of/],
  ['behind', NOW - 30_000, NOW - 29_000, NOW, 'warning', /29 s behind/],
  ['far ahead', NOW + 120_000, NOW + 120_100, NOW, 'warning', /119 s ahead of/],
  ['without a Date', NOW, NOW, null, 'warning', /no Date/],
])('clock: %s', (_what, sentAt, receivedAt, serverAt, status, message) => {
  expectCheck(checkClock({ sentAt, receivedAt, serverAt }), status, message)
})

test.each<[string, number, number, string, RegExp]>([
  ['agrees', 0, 0, 'ok', /agrees/],
  ['agrees, and this machine is a day ahead', 86_400_000, -86_400_000, 'ok', /agrees/],
  ['30 s behind', 0, -30_000, 'warning', /30 s behind that of Auth0: lags .* are wrong/],
  ['120 s ahead', 0, 121_000, 'failure', /2 minutes ahead of .*: .* end tokens of later logins/],
  ['an hour behind', 0, -3_600_000, 'failure', /60 minutes behind .*: logouts are stored/],
])('database clock: %s', (_what, machineAheadMs, databaseAheadMs, status, message) => {
  const at = NOW + machineAheadMs
  const reading = { sentAt: at, receivedAt: at, serverAt: NOW }
  expectCheck(checkDatabaseClock(reading, databaseAheadMs), status, message)
})

test('the database clock is skipped where the database does not tell it', () => {
  const reading = { sentAt: NOW, receivedAt: NOW, serverAt: NOW }
  expect(checkDatabaseClock(reading, null).status).toBe('skipped')
})

test.each<[string, number | null, number | null | undefined, string, RegExp]>([
  ['read up to now', NOW - 5 * DAY, NOW, 'ok', /5 days ago: the worker may be away/],
  ['read up to what is kept', NOW - DAY, NOW - DAY, 'ok', /lose nothing/],
  ['something deleted before it was read', NOW - DAY, NOW - DAY - 1, 'failure', /may be lost/],
  ['not read yet, kept long enough', NOW - 30 * DAY, null, 'ok', /30 days ago/],
  ['not read yet, kept shorter', NOW - 30 * DAY + 1, null, 'warning', /cannot know of logouts/],
  ['not known whether it was read', NOW - 3 * DAY, undefined, 'ok', /, 3 days ago$/],
  ['nothing kept', null, NOW, 'warning', /no entry is kept/],
])('retention: %s', (_what, oldestAt, asOf, status, message) => {
  expectCheck(
    checkRetention({ oldestAt, asOf, now: NOW }, { maxRefreshAgeMs: 30 * DAY }),
    status,
    message,
  )
})

describe('logouts', () => {
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
    ['all named', 10, 10, 10, 0, 'session', 'ok', /100 % name a user, 100 % a session/],
    ['some without a session', 10, 10, 9, 0, 'session', 'warning', /90 % a session; one without/],
    ['that, where it does not matter', 10, 10, 9, 0, 'user', 'ok', /90 % a session/],
    ['some of nobody', 10, 8, 8, 2, 'user', 'warning', /2 cannot be attributed/],
    ['none', 0, 0, 0, 0, 'user', 'warning', /no slo entry/],
  ] as const)(
    '%s',
    (_what, logouts, withUser, withSession, unattributable, policy, status, says) => {
      const check = checkLogouts({ logouts, withUser, withSession, unattributable }, policy)
      expectCheck(check, status, says)
    },
  )

  test.each<[string, number[], string, RegExp]>([
    ['usual', [3_000, 1_000, 5_000], 'ok', /3 s after they happen, at most 5 s \(3 entries\)/],
    ['one straggler', [1_000, 2_000, 3_600_000], 'ok', /at most 60 minutes/],
    ['slow', [61_000], 'warning', /61 s after/],
    ['not told', [], 'warning', /no entry tells/],
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
  ['runs', {}, 'ok', /bound as 2 of 3/],
  ['not there', { exists: false }, 'warning', /judged by iat alone/],
  ['not bound', { position: null }, 'warning', /it never runs/],
  ['changed and not deployed', { deployed: false }, 'warning', /not deployed/],
  ['old', { current: false }, 'warning', /another version/],
  [
    'without its key',
    { secretNames: ['LAST_LOGOUT_URL'] },
    'warning',
    /secret LAST_LOGOUT_API_KEY/,
  ],
])('the login Action: %s', (_what, over, status, message) => {
  expectCheck(toActionCheck({ ...action, ...over }), status, message)
})

describe('a probe', () => {
  const id = (n: number) => syntheticLogId(NOW + n * 1000)
  const answer = (numbers: number[], status = 200) => ({
    status,
    entries: numbers.map((n) => ({ log_id: id(n) })),
    hasLink: true,
    limit: null,
    clock: { sentAt: NOW, receivedAt: NOW, serverAt: NOW },
  })
  const upTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1)

  test.each<[string, ReturnType<typeof answer>, string, RegExp]>([
    ['ascending', answer(upTo(10)), 'ok', /10 entries, ascending, none twice, with a Link$/],
    ['short before the end', answer(upTo(9)), 'ok', /short before the end/],
    ['the checkpoint again', answer([0, 1]), 'failure', /not strictly newer/],
    ['descending', answer([3, 2]), 'failure', /not strictly newer/],
    ['one twice', answer([1, 1]), 'failure', /not strictly newer/],
    ['refused', answer([], 404), 'failure', /answered with 404/],
  ])('of a page: %s', (_what, given, status, message) => {
    expect(checkPage(given, id(0), 50)).toMatchObject({
      status,
      message: expect.stringMatching(message),
    })
  })

  test.each<[string, ReturnType<typeof answer>, string]>([
    ['a position', answer([5, 6]), 'ok'],
    ['one that something new precedes', answer([4, 5]), 'ok'],
    ['one after which something is missing', answer([6]), 'failure'],
    ['none: nothing follows', answer([]), 'failure'],
    ['none: refused', answer([], 400), 'failure'],
  ])('of a made-up id: %s', (_what, given, status) => {
    expect(checkSyntheticId(given, id(5)).status).toBe(status)
  })
})
