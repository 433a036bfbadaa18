import { describe, expect, test } from 'vitest'
import { readActionFile } from '../../src/auth0/actions/code.js'
import { createClock } from '../_support/clock.js'
import { loadActionWithLog } from '../_support/run-action.js'
import {
  FOREIGN_NOT_FOUND,
  OWN_NOT_FOUND,
  openStandIn,
  type Reply,
  replyAbout,
} from '../_support/stand-in.js'

const MINUTE_MS = 60_000
const USER = 'samlp|corp|a/b'
const QUERY = '/v1/last-logout?user_id=samlp%7Ccorp%7Ca%2Fb&session_id=S1'
const PATH = '/v1/users/samlp%7Ccorp%7Ca%2Fb/last-logout?session_id=S1'
const code = await readActionFile()

const isQuery = (url: string) => url.startsWith('/v1/last-logout')

/** Loads the Action as deployed, with a service that sends `reply`. It denies an unknown revocation status. */
async function open(reply: (url: string) => Reply) {
  const { url, requests } = await openStandIn(reply)
  const clock = createClock()
  const load = () => loadActionWithLog(code, clock.now)
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

test('the Action sends the ids in the query', async () => {
  const { exchange, requests } = await open(() => replyAbout(USER, 'S1'))
  expect((await exchange()).denied).toBeNull()
  expect(requests).toEqual([QUERY])
})

test.each([
  ['another user', replyAbout('b', 'S1')],
  ['another session', replyAbout(USER, 'S2')],
  ['no session, though one is requested', replyAbout(USER)],
])('the Action rejects a response about %s', async (_what, reply) => {
  const { exchange } = await open(() => reply)
  const { denied, lines, accessToken } = await exchange()
  expect(denied).toMatch(/^last_logout: /)
  expect(lines.join()).toMatch(/another user or session/)
  expect(lines.join()).not.toContain(USER)
  expect(accessToken).not.toHaveProperty(['https://last-logout/last_logout'])
})

describe('with a service that does not have the query form, the Action', () => {
  const old = (url: string) => (isQuery(url) ? OWN_NOT_FOUND : replyAbout(USER, 'S1'))

  test('sends only the path form for ten minutes', async () => {
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

  test('sends both forms for each login if the runtime loads it each time', async () => {
    const { exchange, requests } = await open(old)
    expect((await exchange()).denied).toBeNull()
    expect((await exchange()).denied).toBeNull()
    expect(requests).toEqual([QUERY, PATH, QUERY, PATH])
  })

  test('still sends the query form to another service', async () => {
    const { exchange, load } = await open(old)
    const newer = await openStandIn(() => replyAbout(USER, 'S1'))
    const run = load()
    await exchange(run)
    expect((await exchange(run, USER, newer.url)).denied).toBeNull()
    expect(newer.requests).toEqual([QUERY])
  })

  test('rejects a response of the path form about another user', async () => {
    const { exchange } = await open((url) => (isQuery(url) ? OWN_NOT_FOUND : replyAbout('b', 'S1')))
    expect((await exchange()).denied).toMatch(/^last_logout: /)
  })
})

test.each(FOREIGN_NOT_FOUND)(
  'the Action does not send the path form after a 404 that is not of last-logout: %d %s',
  async (...reply) => {
    const { exchange, requests } = await open(() => reply)
    const { denied, lines } = await exchange()
    expect(denied).toMatch(/^last_logout: /)
    expect(lines.join()).toMatch(/404/)
    expect(requests).toEqual([QUERY])
  },
)

/** Deletes the methods that Node 22 and 24 have, and that Node 18, another runtime of Actions, lacks. */
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

test('the Action sets its claims and denies an exchange after the logout on Node 18', async () => {
  const { exchange, clock } = await open(() => {
    const at = new Date(clock.now() + MINUTE_MS).toISOString()
    const [status, body] = replyAbout(USER, 'S1')
    const session = { session_id: 'S1', logout_at: at, ended: true }
    return [status, JSON.stringify({ ...JSON.parse(body), last_logout_at: at, session })]
  })
  const { denied, lines, accessToken } = await exchange(
    loadActionWithLog(NEWER_THAN_NODE_18 + code, clock.now),
  )
  expect(lines).toEqual([])
  expect(denied).toBe('last_logout: the session was logged out')
  expect(Object.keys(accessToken).sort()).toEqual(
    ['authenticated_at', 'last_logout', 'session_id'].map((name) => `https://last-logout/${name}`),
  )
})

test('the Action does not use the user "null" for an event without a user id', async () => {
  const { exchange, load } = await open(() => replyAbout('null', 'S1'))
  const { denied } = await exchange(load(), null as unknown as string)
  expect(denied).toMatch(/^last_logout: /)
})
