import { describe, expect, test } from 'vitest'
import { readActionFile } from '../../src/auth0/actions/code.js'
import { createClock } from '../_support/clock.js'
import { loadRecorded } from '../_support/run-action.js'
import {
  about,
  FOREIGN_NOT_FOUND,
  OWN_NOT_FOUND,
  openStandIn,
  type Reply,
} from '../_support/stand-in.js'

const MINUTE_MS = 60_000
const USER = 'samlp|corp|a/b'
const QUERY = '/v1/last-logout?user_id=samlp%7Ccorp%7Ca%2Fb&session_id=S1'
const PATH = '/v1/users/samlp%7Ccorp%7Ca%2Fb/last-logout?session_id=S1'
const code = await readActionFile()

const isQuery = (url: string) => url.startsWith('/v1/last-logout')

/** The Action as deployed, asking what `reply` stands for; whatever cannot be known is refused. */
async function open(reply: (url: string) => Reply) {
  const { url, requests } = await openStandIn(reply)
  const clock = createClock()
  const load = () => loadRecorded(code, clock.now)
  const exchange = (run = load(), userId = USER, baseUrl = url) =>
    run({
      user: { user_id: userId },
      transaction: { protocol: 'oauth2-refresh-token' },
      refresh_token: { session_id: 'S1', created_at: new Date(clock.now()).toISOString() },
      secrets: {
        LAST_LOGOUT_URL: baseUrl,
        LAST_LOGOUT_API_KEY: 'k'.repeat(32),
        LAST_LOGOUT_ON_ERROR: 'deny',
      },
    })
  return { requests, clock, load, exchange }
}

test('sends the ids in the query', async () => {
  const { exchange, requests } = await open(() => about(USER, 'S1'))
  expect((await exchange()).denied).toBeNull()
  expect(requests).toEqual([QUERY])
})

test.each([
  ['another user', about('b', 'S1')],
  ['another session', about(USER, 'S2')],
  ['no session, though one is requested', about(USER)],
])('does not believe a response about %s', async (_what, reply) => {
  const { exchange } = await open(() => reply)
  const { denied, lines, accessToken } = await exchange()
  expect(denied).toMatch(/^last_logout: /)
  expect(lines.join()).toMatch(/another user or session/)
  expect(lines.join()).not.toContain(USER)
  expect(accessToken).not.toHaveProperty(['https://last-logout/last_logout'])
})

describe('at a service that does not have the query form', () => {
  const old = (url: string) => (isQuery(url) ? OWN_NOT_FOUND : about(USER, 'S1'))

  test('sends the path form, and for ten minutes nothing else', async () => {
    const { exchange, requests, clock, load } = await open(old)
    const run = load()
    expect((await exchange(run)).denied).toBeNull()
    expect(requests.splice(0)).toEqual([QUERY, PATH])
    clock.pass(10 * MINUTE_MS - 1)
    expect((await exchange(run)).denied).toBeNull()
    expect(requests.splice(0)).toEqual([PATH])
    clock.pass(1)
    expect((await exchange(run)).denied).toBeNull()
    expect(requests).toEqual([QUERY, PATH])
  })

  test('sends both each time where the runtime loads it anew for each login', async () => {
    const { exchange, requests } = await open(old)
    expect((await exchange()).denied).toBeNull()
    expect((await exchange()).denied).toBeNull()
    expect(requests).toEqual([QUERY, PATH, QUERY, PATH])
  })

  test('sends the query form to another service', async () => {
    const { exchange, load } = await open(old)
    const newer = await openStandIn(() => about(USER, 'S1'))
    const run = load()
    await exchange(run)
    expect((await exchange(run, USER, newer.url)).denied).toBeNull()
    expect(newer.requests).toEqual([QUERY])
  })

  test('does not believe a response about the user that the path led to', async () => {
    const { exchange } = await open((url) => (isQuery(url) ? OWN_NOT_FOUND : about('b', 'S1')))
    expect((await exchange()).denied).toMatch(/^last_logout: /)
  })
})

test.each(FOREIGN_NOT_FOUND)(
  'takes the 404 of something else for an error, and does not send the path form: %d %s',
  async (...reply) => {
    const { exchange, requests } = await open(() => reply)
    const { denied, lines } = await exchange()
    expect(denied).toMatch(/^last_logout: /)
    expect(lines.join()).toMatch(/404/)
    expect(requests).toEqual([QUERY])
  },
)

/** What Node 22 or 24 has and Node 18, which is also a runtime of Actions, has not. */
const NEWER_THAN_NODE_18 = `
  for (const [owner, names] of [
    [String.prototype, 'isWellFormed toWellFormed'],
    [Array, 'fromAsync'],
    [Array.prototype, 'toReversed toSorted toSpliced with'],
    [ArrayBuffer.prototype, 'detached maxByteLength resizable resize transfer transferToFixedLength'],
    [Object, 'groupBy'],
    [Map, 'groupBy'],
    [Promise, 'try withResolvers'],
    [RegExp, 'escape'],
    [Set.prototype, 'difference intersection isDisjointFrom isSubsetOf isSupersetOf symmetricDifference union'],
    [Error, 'isError'],
    [JSON, 'isRawJSON rawJSON'],
    [Math, 'f16round'],
    [globalThis, 'Float16Array Iterator SuppressedError'],
  ]) for (const name of names.split(' ')) delete owner[name]
`

test('works on Node 18: sets its claims, and denies an exchange after the logout', async () => {
  const { exchange, clock } = await open(() => {
    const at = new Date(clock.now() + MINUTE_MS).toISOString()
    const [status, body] = about(USER, 'S1')
    const session = { session_id: 'S1', logout_at: at, ended: true }
    return [status, JSON.stringify({ ...JSON.parse(body), last_logout_at: at, session })]
  })
  const { denied, lines, accessToken } = await exchange(
    loadRecorded(NEWER_THAN_NODE_18 + code, clock.now),
  )
  expect(lines).toEqual([])
  expect(denied).toBe('last_logout: the session was logged out')
  expect(Object.keys(accessToken).sort()).toEqual(
    ['authenticated_at', 'last_logout', 'session_id'].map((name) => `https://last-logout/${name}`),
  )
})

test('does not take an event without a user id for one of the user "null"', async () => {
  const { exchange, load } = await open(() => about('null', 'S1'))
  const { denied } = await exchange(load(), null as unknown as string)
  expect(denied).toMatch(/^last_logout: /)
})
