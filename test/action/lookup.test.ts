import { createServer } from 'node:http'
import { describe, expect, onTestFinished, test } from 'vitest'
import { readActionFile } from '../../src/auth0/actions/code.js'
import { createClock } from '../_support/clock.js'
import {
  type FakeResponse,
  FOREIGN_NOT_FOUND,
  OWN_NOT_FOUND,
  openFakeServer,
  responseAbout,
} from '../_support/fake-server.js'
import { openLoopback } from '../_support/loopback.js'
import { buildExchangeEvent, loadActionWithLog } from '../_support/run-action.js'

const MINUTE_MS = 60_000
/** A user id with characters that a URL must escape. */
const USER = 'samlp|corp|a/b'
/** A lookup sends the ids in the query. Older versions of the service have only the form with the user id in the path. */
const QUERY_FORM = '/v1/last-logout?user_id=samlp%7Ccorp%7Ca%2Fb&session_id=S1'
const PATH_FORM = '/v1/users/samlp%7Ccorp%7Ca%2Fb/last-logout?session_id=S1'
const code = await readActionFile()

const isQueryForm = (url: string) => url.startsWith('/v1/last-logout')

/**
 * Opens a service that sends `reply`. Returns functions that load the built Action and run an exchange. The Action denies
 * an exchange whose revocation status is unknown.
 */
async function openService(reply: (url: string) => FakeResponse) {
  const { url, requestedUrls } = await openFakeServer(reply)
  const clock = createClock()
  const load = () => loadActionWithLog(code, clock.now)
  const exchange = (run = load(), userId = USER, baseUrl = url) =>
    run(
      buildExchangeEvent(
        { userId, sessionId: 'S1', createdAt: clock.now() },
        {
          LAST_LOGOUT_URL: baseUrl,
          LAST_LOGOUT_API_KEY: 'k'.repeat(32),
          LAST_LOGOUT_ON_ERROR: 'deny',
        },
      ),
    )
  return { requests: requestedUrls, clock, load, exchange }
}

test('the Action sends the ids in the query', async () => {
  const { exchange, requests } = await openService(() => responseAbout(USER, 'S1'))
  expect((await exchange()).denied).toBeNull()
  expect(requests).toEqual([QUERY_FORM])
})

test.each([
  ['another user', responseAbout('b', 'S1')],
  ['another session', responseAbout(USER, 'S2')],
  ['no session although a session was requested', responseAbout(USER)],
])('the Action does not use a response about %s', async (_what, reply) => {
  const { exchange } = await openService(() => reply)
  const { denied, logLines, accessToken } = await exchange()
  expect(denied).toMatch(/^last_logout: /)
  expect(logLines.join()).toMatch(/another user or session/)
  expect(logLines.join()).not.toContain(USER)
  expect(accessToken).not.toHaveProperty(['https://last-logout/last_logout'])
})

describe('an older service without the query form', () => {
  const oldService = (url: string) => (isQueryForm(url) ? OWN_NOT_FOUND : responseAbout(USER, 'S1'))

  test('after a 404 for the query form, the Action sends only the path form for ten minutes', async () => {
    const { exchange, requests, clock, load } = await openService(oldService)
    const run = load()
    expect((await exchange(run)).denied).toBeNull()
    expect(requests.splice(0)).toEqual([QUERY_FORM, PATH_FORM])
    clock.pass(10 * MINUTE_MS - 1)
    expect((await exchange(run)).denied).toBeNull()
    expect(requests.splice(0)).toEqual([PATH_FORM])
    clock.pass(1)
    expect((await exchange(run)).denied).toBeNull()
    expect(requests).toEqual([QUERY_FORM, PATH_FORM])
  })

  test('the Action sends both forms for each exchange if the runtime loads the Action again for each exchange', async () => {
    const { exchange, requests } = await openService(oldService)
    expect((await exchange()).denied).toBeNull()
    expect((await exchange()).denied).toBeNull()
    expect(requests).toEqual([QUERY_FORM, PATH_FORM, QUERY_FORM, PATH_FORM])
  })

  test('after a 404 of one service, the Action still sends the query form to another service', async () => {
    const { exchange, load } = await openService(oldService)
    const newerService = await openFakeServer(() => responseAbout(USER, 'S1'))
    const run = load()
    await exchange(run)
    expect((await exchange(run, USER, newerService.url)).denied).toBeNull()
    expect(newerService.requestedUrls).toEqual([QUERY_FORM])
  })

  test('the Action does not use a response to the path form about another user', async () => {
    const { exchange } = await openService((url) =>
      isQueryForm(url) ? OWN_NOT_FOUND : responseAbout('b', 'S1'),
    )
    expect((await exchange()).denied).toMatch(/^last_logout: /)
  })
})

test.each([
  [1, null],
  [2, 'last_logout: the revocation status of the session is unavailable'],
])(
  'the Action sends a request again once if its connection is closed without a response: closed %d times, the denial is %s',
  async (closedCount, expectedDenial) => {
    let remaining = closedCount
    const [, body] = responseAbout(USER, 'S1')
    const server = createServer((request, response) => {
      if (remaining-- > 0) request.destroy()
      else response.end(body)
    })
    const { url, close } = await openLoopback(server)
    onTestFinished(close)
    const { exchange, load } = await openService(() => responseAbout(USER, 'S1'))
    expect((await exchange(load(), USER, url)).denied).toBe(expectedDenial)
  },
)

test.each([301, 302, 307, 308])(
  'the Action does not follow a redirect with status %d, and logs that LAST_LOGOUT_URL leads to a redirect',
  async (status) => {
    const target = await openFakeServer(() => responseAbout(USER, 'S1'))
    const server = createServer((_request, response) => {
      response.writeHead(status, { location: `${target.url}${QUERY_FORM}` }).end()
    })
    const { url, close } = await openLoopback(server)
    onTestFinished(close)
    const { exchange, load } = await openService(() => responseAbout(USER, 'S1'))
    const { denied, logLines } = await exchange(load(), USER, url)
    expect(denied).toMatch(/^last_logout: /)
    expect(logLines).toEqual([
      `last_logout: lookup failed: status ${status}: LAST_LOGOUT_URL leads to a redirect, which is not followed`,
    ])
    expect(target.requestedUrls).toEqual([])
  },
)

test.each(FOREIGN_NOT_FOUND)(
  'the Action does not send the path form after a 404 that does not come from last-logout: %d %s',
  async (...reply) => {
    const { exchange, requests } = await openService(() => reply)
    const { denied, logLines } = await exchange()
    expect(denied).toMatch(/^last_logout: /)
    expect(logLines.join()).toMatch(/404/)
    expect(requests).toEqual([QUERY_FORM])
  },
)

/** Code that deletes the methods and globals that Node 18 does not have. Actions can run on Node 18. */
const DELETE_METHODS_NEWER_THAN_NODE_18 = `
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
  // Node 18 has this method since 18.17. The class is a copy, because the context shares the original with the tests.
  globalThis.URL = class extends URL {}
  URL.canParse = undefined
`

test('on Node 18, the Action sets its claims and denies an exchange after the logout', async () => {
  const { exchange, clock } = await openService(() => {
    // A minute after the refresh token was created.
    const at = new Date(clock.now() + MINUTE_MS).toISOString()
    const [status, body] = responseAbout(USER, 'S1')
    const session = { session_id: 'S1', logout_at: at, ended: true }
    return [status, JSON.stringify({ ...JSON.parse(body), last_logout_at: at, session })]
  })
  const { denied, logLines, accessToken } = await exchange(
    loadActionWithLog(DELETE_METHODS_NEWER_THAN_NODE_18 + code, clock.now),
  )
  expect(logLines).toEqual([])
  expect(denied).toBe('last_logout: the session was logged out')
  expect(Object.keys(accessToken).sort()).toEqual(
    ['authenticated_at', 'last_logout', 'session_id'].map((name) => `https://last-logout/${name}`),
  )
})

test('the Action does not use a response about the user "null" if the event has no user id', async () => {
  const { exchange, load } = await openService(() => responseAbout('null', 'S1'))
  const { denied } = await exchange(load(), null as unknown as string)
  expect(denied).toMatch(/^last_logout: /)
})
