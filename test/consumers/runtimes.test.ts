import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ClientProject, installClient } from '../_support/client-package.js'
import { responseAbout } from '../_support/fake-server.js'
import type { ProtectedServer } from '../_support/protected-server.js'
import { RUNTIMES, type Runtime, serveInRuntime } from '../_support/runtimes.js'
import { KEY } from '../_support/served-api.js'
import { type ServedLogouts, serveLogouts } from '../_support/served-logouts.js'
import { ACCEPTED, REVOKED, UNKNOWN } from './cases.js'

const SESSION_CLAIM = 'https://last-logout/session_id'
const ODD_ID = 'samlp|corp|a/../b?c=d%20é'
/** The time in which the slow service responds. */
const SLOW_MS = 400
const NOW_SECONDS = Math.floor(Date.now() / 1000)

const servers: Server[] = []
/** Opens a server on the loopback interface. The server is closed after all tests. */
async function openServer(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

let project: ClientProject
let logouts: ServedLogouts
/** The options of the clients in the app, by the name of the client. */
let options: Record<string, object>
beforeAll(async () => {
  project = await installClient()
  logouts = await serveLogouts()
  await logouts.logOut('auth0|out')
  await logouts.logOut('auth0|sessions', 'phone')
  await logouts.logOut(ODD_ID)
  const silentUrl = await openServer(() => {})
  const slowUrl = await openServer((request, response) => {
    const userId = new URL(request.url ?? '', 'http://slow').searchParams.get('user_id') ?? ''
    setTimeout(() => response.end(responseAbout(userId)[1]), SLOW_MS)
  })
  const redirectingUrl = await openServer((_request, response) => {
    response.writeHead(302, { location: logouts.url }).end()
  })
  const commonOptions = {
    apiKey: KEY,
    onUnknown: 'deny',
    lookup: 'request',
    cacheMs: 0,
    timeoutMs: 5_000,
  }
  options = {
    real: { ...commonOptions, url: logouts.url },
    feed: { ...commonOptions, url: logouts.url, lookup: 'feed', connect: 'lazy' },
    unreachable: { ...commonOptions, url: 'http://127.0.0.1:1' },
    allowing: { ...commonOptions, url: 'http://127.0.0.1:1', onUnknown: 'allow' },
    silent: { ...commonOptions, url: silentUrl, timeoutMs: 200 },
    slow: { ...commonOptions, url: slowUrl },
    redirecting: { ...commonOptions, url: redirectingUrl },
  }
}, 120_000)
afterAll(async () => {
  for (const server of servers) {
    server.close()
    server.closeAllConnections()
  }
  await Promise.all([logouts.close(), project.remove()])
})

/** Returns the claims of a token from a minute ago. */
const claimsOf = (sub: string, fields: object = {}) => ({ sub, iat: NOW_SECONDS - 60, ...fields })

/** The cases of every runtime: the name of the client in the app, the claims, and the expected response. */
const CASES: [name: string, client: string, claims: object, expected: object][] = [
  ['a user who has not logged out', 'real', claimsOf('auth0|in'), ACCEPTED],
  ['a login before the logout', 'real', claimsOf('auth0|out'), REVOKED],
  ['a login after the logout', 'real', claimsOf('auth0|out', { iat: NOW_SECONDS + 600 }), ACCEPTED],
  [
    'a login that is a string',
    'real',
    claimsOf('auth0|out', { iat: `${NOW_SECONDS - 60}` }),
    REVOKED,
  ],
  ['an unreadable login', 'real', claimsOf('auth0|in', { iat: 'soon' }), UNKNOWN],
  ['the ended session', 'real', claimsOf('auth0|sessions', { [SESSION_CLAIM]: 'phone' }), REVOKED],
  ['another session', 'real', claimsOf('auth0|sessions', { [SESSION_CLAIM]: 'laptop' }), ACCEPTED],
  ['a user id with special characters', 'real', claimsOf(ODD_ID), REVOKED],
  [
    'a machine token and an unreachable service',
    'unreachable',
    claimsOf('orders@clients'),
    ACCEPTED,
  ],
  ['an unreachable service with deny', 'unreachable', claimsOf('auth0|in'), UNKNOWN],
  ['an unreachable service with allow', 'allowing', claimsOf('auth0|in'), ACCEPTED],
  ['a service that does not respond', 'silent', claimsOf('auth0|in'), UNKNOWN],
  ['a service that redirects', 'redirecting', claimsOf('auth0|in'), UNKNOWN],
]

/**
 * Serves the app in a runtime for the tests of the current `describe`. Returns a function that sends a request to the
 * app.
 */
function withApp(runtime: Runtime, clientNames: string[]) {
  let app: ProtectedServer
  beforeAll(async () => {
    const OPTIONS = Object.fromEntries(clientNames.map((name) => [name, options[name]]))
    app = await serveInRuntime(runtime, { project: project.dir, define: { OPTIONS } })
  }, 60_000)
  afterAll(() => app.close())

  return async (body: object) => {
    const signal = AbortSignal.timeout(10_000)
    const response = await fetch(app.url, { method: 'POST', body: JSON.stringify(body), signal })
    const { status, headers } = response
    await response.text()
    const challenge = headers.get('www-authenticate')
    return { status, challenge, retryAfter: headers.get('retry-after') }
  }
}

describe.each(RUNTIMES)("in $name, with lookup: 'request'", (runtime) => {
  const call = withApp(runtime, [...new Set(CASES.map(([, client]) => client)), 'slow'])

  test('a client at the top level of a module returns the expected response in every case', async () => {
    const responses: Record<string, object> = {}
    for (const [name, client, claims] of CASES) responses[name] = await call({ client, claims })
    expect(responses).toEqual(
      Object.fromEntries(CASES.map(([name, , , expected]) => [name, expected])),
    )
  })

  test('a check settles even if the app left an earlier check of the same user unfinished', async () => {
    const check = { client: 'slow', claims: claimsOf('auth0|left') }
    // The app responds to the first request before the service does.
    expect(await call({ ...check, leaveAfterMs: SLOW_MS / 4 })).toEqual(ACCEPTED)
    expect(await call(check)).toEqual(ACCEPTED)
    expect(await call(check)).toEqual(ACCEPTED)
  })
})

const RUNTIMES_WITH_CONNECTIONS = RUNTIMES.filter(({ keepsConnections }) => keepsConnections)

describe.each(RUNTIMES_WITH_CONNECTIONS)("in $name, with lookup: 'feed'", (runtime) => {
  const call = withApp(runtime, ['feed'])

  test('a client that connects with its first check returns the expected response in every case', async () => {
    const cases = CASES.filter(([, client]) => client === 'real')
    const responses: Record<string, object> = {}
    for (const [name, , claims] of cases) responses[name] = await call({ client: 'feed', claims })
    expect(responses).toEqual(
      Object.fromEntries(cases.map(([name, , , expected]) => [name, expected])),
    )
  })
})
