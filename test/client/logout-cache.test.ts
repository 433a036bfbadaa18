import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createLogoutCache } from '../../src/client/logout-cache.js'
import { MAX_LOAD_NUMBER } from '../../src/client/table.js'
import { judge } from '../../src/rules/judge.js'

/** The tests add or subtract a few milliseconds, so that all instants differ. */
const NOON = Date.parse('2026-11-23T12:00:00Z')
/** The key of the hashes of ids. */
const KEY = '8d5e1d0a-7c40-4a0e-9d4e-2b0b5c9a7f11'
const TOKEN = { subject: 'auth0|1', sessionId: 'S1', loginAt: NOON }
const NO_LOGOUT = { user: null, session: null, floorAt: null }

const hash = (id: string, key = KEY) => createHmac('sha256', key).update(id).digest('hex')
/** Creates a change about a forgotten person: it has a hash of the id instead of the id. */
const forgottenUser = (at: number, allSessionsAt: number | null = null, key = KEY) => ({
  kind: 'forgotten_user' as const,
  key,
  userHash: hash('auth0|1', key),
  at,
  allSessionsAt,
})
const forgottenSession = (at: number, ended: boolean) => ({
  kind: 'forgotten_session' as const,
  key: KEY,
  sessionHash: hash('S1'),
  at,
  ended,
})

test('the cache finds the logouts of a forgotten person by the hashes of the ids', () => {
  const cache = createLogoutCache()
  cache.beginLoad()
  cache.merge(forgottenUser(NOON, NOON - 1))
  cache.merge(forgottenSession(NOON - 2, true))
  expect(cache.find(TOKEN, 'user')).toEqual({
    user: { at: NOON, allSessionsAt: NOON - 1 },
    session: { at: NOON - 2, ended: true },
    floorAt: null,
  })
  expect(cache.find({ ...TOKEN, sessionId: null }, 'user').session).toBeNull()
  expect(cache.find({ ...TOKEN, subject: 'auth0|2', sessionId: 'S2' }, 'user')).toEqual(NO_LOGOUT)
})

test('the cache merges a row with a hash and a row with the id of the same user or session', () => {
  const cache = createLogoutCache()
  cache.beginLoad()
  cache.merge(forgottenUser(NOON, NOON - 1))
  cache.merge({ kind: 'user', userId: 'auth0|1', at: NOON + 5, allSessionsAt: null })
  cache.merge(forgottenSession(NOON, true))
  cache.merge({ kind: 'session', sessionId: 'S1', userId: null, at: NOON + 5, ended: false })
  cache.merge({ kind: 'floor', at: NOON - 9 })
  expect(cache.find(TOKEN, 'user')).toEqual({
    user: { at: NOON + 5, allSessionsAt: NOON - 1 },
    session: { at: NOON + 5, ended: true },
    floorAt: NOON - 9,
  })
})

test('at the end of a load that has delivered only the row with the hash, the cache drops the row with the id', () => {
  const cache = createLogoutCache()
  cache.beginLoad()
  cache.merge({ kind: 'user', userId: 'auth0|1', at: NOON, allSessionsAt: null })
  cache.merge(forgottenUser(NOON))
  expect(cache.count()).toBe(2)
  cache.beginLoad()
  cache.merge(forgottenUser(NOON))
  cache.dropUndelivered()
  expect(cache.count()).toBe(1)
  expect(cache.find(TOKEN, 'user').user).toEqual({ at: NOON, allSessionsAt: null })
})

test('the cache keeps the last logout of all sessions while loads deliver the user', () => {
  const cache = createLogoutCache()
  cache.beginLoad()
  cache.merge({ kind: 'user', userId: 'auth0|1', at: NOON, allSessionsAt: NOON })
  cache.beginLoad()
  cache.merge({ kind: 'user', userId: 'auth0|1', at: NOON, allSessionsAt: null })
  cache.dropUndelivered()
  expect(cache.find(TOKEN, 'session').user).toEqual({ at: NOON, allSessionsAt: NOON })
})

test('at the end of a load, the cache drops the rows with a hash that the load has not delivered', () => {
  const cache = createLogoutCache()
  cache.beginLoad()
  cache.merge(forgottenUser(NOON))
  cache.beginLoad()
  cache.dropUndelivered()
  expect(cache.find(TOKEN, 'user')).toEqual(NO_LOGOUT)
})

test('at the end of a load, the cache drops every kind of row that the load has not delivered', () => {
  const cache = createLogoutCache()
  const session = { kind: 'session', sessionId: 'S1', userId: null, at: NOON, ended: true } as const
  const user = { kind: 'user', userId: 'auth0|1', at: NOON, allSessionsAt: NOON } as const
  const changes = [session, user, forgottenSession(NOON, true), forgottenUser(NOON, NOON)]
  for (const delivered of [...changes, null]) {
    cache.beginLoad()
    for (const change of changes) cache.merge(change)
    cache.dropUndelivered()
    expect(cache.find(TOKEN, 'user')).toEqual({
      user: { at: NOON, allSessionsAt: NOON },
      session: { at: NOON, ended: true },
      floorAt: null,
    })
    cache.beginLoad()
    if (delivered !== null) cache.merge(delivered)
    cache.dropUndelivered()
    expect(cache.count()).toBe(delivered === null ? 0 : 1)
    const isUser = delivered === user || delivered?.kind === 'forgotten_user'
    const hasSession = delivered !== null && !isUser
    expect(cache.find(TOKEN, 'user')).toEqual({
      user: isUser ? { at: NOON, allSessionsAt: NOON } : null,
      session: hasSession ? { at: NOON, ended: true } : null,
      floorAt: null,
    })
    // Under this policy, only the table of the logouts of all sessions has the user.
    expect(cache.find(TOKEN, 'session').user).toEqual(
      isUser ? { at: NOON, allSessionsAt: NOON } : null,
    )
  }
})

test('the cache finds rows with hashes of different keys', () => {
  const cache = createLogoutCache()
  cache.beginLoad()
  cache.merge(forgottenUser(NOON))
  cache.merge(forgottenUser(NOON + 1, null, 'another key'))
  expect(cache.find(TOKEN, 'user').user).toEqual({ at: NOON + 1, allSessionsAt: null })
})

test('under the policy session, the last logout of the user is found only for a token without a session id', () => {
  const cache = createLogoutCache()
  cache.beginLoad()
  cache.merge({ kind: 'user', userId: 'auth0|1', at: NOON, allSessionsAt: null })
  expect(cache.find(TOKEN, 'session')).toEqual(NO_LOGOUT)
  expect(cache.find({ ...TOKEN, sessionId: null }, 'session').user).toEqual({
    at: NOON,
    allSessionsAt: null,
  })
  cache.merge({ kind: 'user', userId: 'auth0|1', at: NOON + 2, allSessionsAt: NOON + 1 })
  expect(cache.find(TOKEN, 'session').user?.allSessionsAt).toBe(NOON + 1)
})

test('the logouts that are found under a policy lead to the same verdict as all logouts', () => {
  const instant = fc.integer({ min: NOON - 3, max: NOON + 3 })
  const logout = fc.oneof(
    fc.record({ at: instant, allSessionsAt: fc.option(instant) }).map((row) => ({
      kind: 'user' as const,
      userId: 'auth0|1',
      ...row,
    })),
    fc.tuple(instant, fc.option(instant)).map(([at, all]) => forgottenUser(at, all)),
    fc.tuple(instant, fc.boolean()).map(([at, ended]) => forgottenSession(at, ended)),
    fc.record({ at: instant, ended: fc.boolean() }).map((row) => ({
      kind: 'session' as const,
      sessionId: 'S1',
      userId: 'auth0|1',
      ...row,
    })),
    instant.map((at) => ({ kind: 'floor' as const, at })),
  )
  const token = fc.record({
    subject: fc.constantFrom('auth0|1', 'auth0|2'),
    sessionId: fc.constantFrom('S1', 'S2', null),
    loginAt: fc.option(instant),
  })
  const policy = fc.constantFrom('session' as const, 'user' as const)
  fc.assert(
    fc.property(fc.array(logout, { maxLength: 6 }), token, policy, (logouts, token, policy) => {
      const cache = createLogoutCache()
      cache.beginLoad()
      for (const change of logouts) cache.merge(change)
      // Under the policy `user`, `find` returns all logouts.
      const expected = judge(token, cache.find(token, 'user'), { policy })
      expect(judge(token, cache.find(token, policy), { policy })).toEqual(expected)
    }),
  )
})

test('after more loads than a row can count, the cache still keeps every row that a load has delivered', () => {
  const cache = createLogoutCache()
  const userChange = (userId: string) =>
    ({ kind: 'user', userId, at: NOON, allSessionsAt: null }) as const
  for (let load = 0; load < MAX_LOAD_NUMBER + 10; load++) cache.beginLoad()
  cache.merge(userChange('auth0|1'))
  cache.dropUndelivered()
  cache.beginLoad()
  cache.merge(userChange('auth0|2'))
  cache.dropUndelivered()
  expect(cache.count()).toBe(2)
})
