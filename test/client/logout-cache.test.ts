import { createHmac } from 'node:crypto'
import { expect, test } from 'vitest'
import { createLogoutCache } from '../../src/client/logout-cache.js'

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
  expect(cache.find(TOKEN)).toEqual({
    user: { at: NOON, allSessionsAt: NOON - 1 },
    session: { at: NOON - 2, ended: true },
    floorAt: null,
  })
  expect(cache.find({ ...TOKEN, sessionId: null }).session).toBeNull()
  expect(cache.find({ ...TOKEN, subject: 'auth0|2', sessionId: 'S2' })).toEqual(NO_LOGOUT)
})

test('the cache merges a row with a hash and a row with the id of the same user or session', () => {
  const cache = createLogoutCache()
  cache.beginLoad()
  cache.merge(forgottenUser(NOON, NOON - 1))
  cache.merge({ kind: 'user', userId: 'auth0|1', at: NOON + 5, allSessionsAt: null })
  cache.merge(forgottenSession(NOON, true))
  cache.merge({ kind: 'session', sessionId: 'S1', userId: null, at: NOON + 5, ended: false })
  cache.merge({ kind: 'floor', at: NOON - 9 })
  expect(cache.find(TOKEN)).toEqual({
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
  expect(cache.find(TOKEN).user).toEqual({ at: NOON, allSessionsAt: null })
})

test('at the end of a load, the cache drops the rows with a hash that the load has not delivered', () => {
  const cache = createLogoutCache()
  cache.beginLoad()
  cache.merge(forgottenUser(NOON))
  cache.beginLoad()
  cache.dropUndelivered()
  expect(cache.find(TOKEN)).toEqual(NO_LOGOUT)
})

test('the cache finds rows with hashes of different keys', () => {
  const cache = createLogoutCache()
  cache.beginLoad()
  cache.merge(forgottenUser(NOON))
  cache.merge(forgottenUser(NOON + 1, null, 'another key'))
  expect(cache.find(TOKEN).user).toEqual({ at: NOON + 1, allSessionsAt: null })
})
