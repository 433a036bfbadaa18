import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { FRAMEWORKS, readDependencies } from '../../scripts/frameworks.js'
import { buildEntry } from '../../src/simulator/entries.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { createDpopKey, type DpopKey } from '../_support/dpop.js'
import { copyExample, type Example } from '../_support/examples.js'
import { INSTALLED_DIR } from '../_support/installed.js'
import { type Issuer, ORDERS_AUDIENCE, openIssuer } from '../_support/issuer.js'
import type { ProtectedServer } from '../_support/protected-server.js'
import { type RunningService, runService } from '../_support/running-service.js'
import { KEY } from '../_support/served-api.js'
import { type ServedLogouts, serveLogouts } from '../_support/served-logouts.js'
import { WAIT } from '../_support/wait.js'
import {
  type Case,
  type CaseGroup,
  expectedOf,
  GROUPS,
  LOGGED_OUT,
  LOGOUT_MS,
  SESSION_CLAIM,
  type ServiceState,
} from './cases.js'

const STALE_AGE_MS = 600_000

/** Timeout for building and starting an example. `next build` is the slowest. */
const MAX_BUILD_MS = 180_000

let database: TestDatabase
let issuer: Issuer
let dpop: DpopKey
let service: RunningService
let staleService: ServedLogouts
let urls: Record<ServiceState, string>
beforeAll(async () => {
  database = await createTestDatabase()
  issuer = await openIssuer()
  dpop = await createDpopKey()
  service = await runService({ DATABASE_URL: database.url })
  staleService = await serveLogouts(Date.now() - STALE_AGE_MS)
  for (const logout of LOGGED_OUT) {
    const storedAtMs = Date.now()
    service.tenant.write(buildEntry('slo', logout), { dateMs: LOGOUT_MS, storedAtMs })
    await staleService.logOut(logout.userId, logout.sessionId, LOGOUT_MS)
  }
  await Promise.all(LOGGED_OUT.map(({ userId }) => service.waitForLogout(userId)))
  urls = { reachable: service.url, stale: staleService.url, unreachable: 'http://127.0.0.1:2' }
})
afterAll(async () => {
  await Promise.all([service.close(), staleService.close(), issuer.close()])
  await database.drop()
})

test('the tests run each example with the versions in its package.json', async () => {
  for (const { example } of FRAMEWORKS) {
    const dependencies = await readDependencies(join('examples', example))
    const { 'last-logout-client': client, ...otherDependencies } = dependencies
    expect(client).toBe('file:../../dist/packages/last-logout-client-0.2.0.tgz')
    for (const [name, version] of Object.entries(otherDependencies)) {
      const manifest = join(INSTALLED_DIR, 'node_modules', name, 'package.json')
      expect(JSON.parse(await readFile(manifest, 'utf8')).version, name).toBe(version)
    }
  }
})

describe.each(FRAMEWORKS)('the example for $name', ({ example: folder, paths = ['/orders'] }) => {
  const examples: Example[] = []
  const servers = new Map<CaseGroup, ProtectedServer>()
  beforeAll(async () => {
    const [deny, allow] = await Promise.all([
      copyExample(folder, 'deny'),
      copyExample(folder, 'allow'),
    ])
    examples.push(deny, allow)
    await Promise.all(
      GROUPS.map(async (group) => {
        const example = group.onUnknown === 'deny' ? deny : allow
        servers.set(group, await example.start(createEnvironment(urls[group.service])))
      }),
    )
  }, MAX_BUILD_MS)
  afterAll(async () => {
    await Promise.all([...servers.values()].map((server) => server.close()))
    await Promise.all(examples.map((example) => example.remove()))
  })

  /** Sends a request to the example whose client has the settings of the group. */
  const callIn = (group: CaseGroup, token: Token, path = '/orders') =>
    call(`${servers.get(group)?.url}${path}`, token)

  test.each(GROUPS)(
    'the example sends the same responses as the other examples if the service is $service and onUnknown is $onUnknown',
    async (group) => {
      await waitUntilLoaded((token) => callIn(group, token), group.service)
      for (const path of paths) {
        const responses: Record<string, object> = {}
        const expected: Record<string, object> = {}
        // The requests are sent one after the other, because some checks have a timeout of a second.
        for (const testCase of group.cases) {
          responses[testCase.name] = await callIn(group, testCase, path)
          expected[testCase.name] = expectedWithUser(testCase, folder, path)
        }
        expect(responses, path).toMatchObject(expected)
      }
    },
  )

  test('the example refuses a token after a logout of its session, but accepts the tokens of other sessions', async () => {
    // In the first group, the service is reachable, and onUnknown is `deny`.
    const [group] = GROUPS as [CaseGroup]
    const claims = { sub: `auth0|${folder}`, iat: Math.floor(Date.now() / 1000) - 60 }
    const statusOf = async (session: string) =>
      (await callIn(group, { claims: { ...claims, [SESSION_CLAIM]: `${folder} ${session}` } }))
        .status
    expect([await statusOf('phone'), await statusOf('laptop')]).toEqual([200, 200])
    const logout = { userId: claims.sub, sessionId: `${folder} phone` }
    service.tenant.write(buildEntry('slo', logout))
    await expect.poll(() => statusOf('phone'), WAIT).toBe(401)
    expect(await statusOf('laptop')).toBe(200)
  })

  test('tokens with unknown key ids cause few requests for the keys of the tenant', async () => {
    const [group] = GROUPS as [CaseGroup]
    const requestCount = issuer.keySetRequests()
    for (let i = 0; i < 30; i++) {
      const header = { alg: 'RS256', kid: `unknown-${i}` }
      const claims = { sub: 'auth0|in', iat: Math.floor(Date.now() / 1000) }
      expect((await callIn(group, { claims, header })).status).toBe(401)
    }
    // `jwks-rsa` permits ten a minute.
    expect(issuer.keySetRequests() - requestCount).toBeLessThanOrEqual(10)
  })

  test.each(['ISSUER_BASE_URL', 'AUDIENCE'])(
    'without the variable %s, the example does not start, or refuses all requests',
    async (name) => {
      const environment = { ...createEnvironment(service.url), [name]: '' }
      const started = await examples[0]?.start(environment).catch((error: Error) => error)
      if (!started || started instanceof Error) {
        // `express-oauth2-jwt-bearer` names its option instead of the variable.
        expect(started?.message).toMatch(new RegExp(name.replaceAll('_', '_?'), 'i'))
        return
      }
      // Next loads the file with the first request.
      onTestFinished(started.close)
      const claims = { sub: 'auth0|in', iat: Math.floor(Date.now() / 1000), aud: 'https://other' }
      expect((await call(`${started.url}/orders`, { claims })).status).toBe(500)
    },
  )
})

/** Returns the environment variables of an example. */
const createEnvironment = (url: string) => ({
  ISSUER_BASE_URL: issuer.url,
  AUDIENCE: ORDERS_AUDIENCE,
  LAST_LOGOUT_URL: url,
  LAST_LOGOUT_API_KEY: KEY,
  PORT: '0',
})

/** The token of a request. */
type Token = Pick<Case, 'claims' | 'scheme' | 'header'>

/** Sends a request with a token to a protected route. */
async function call(route: string, { claims, scheme = 'Bearer', header }: Token) {
  const binding = scheme === 'DPoP' ? { cnf: { jkt: dpop.thumbprint } } : {}
  const signedToken = claims === null ? null : await issuer.sign({ ...claims, ...binding })
  const token = header && signedToken ? replaceHeader(signedToken, header) : signedToken
  const headers = new Headers()
  if (token !== null) headers.set('authorization', `${scheme} ${token}`)
  if (token !== null && scheme === 'DPoP') headers.set('dpop', await dpop.prove(route, token))
  const response = await fetch(route, { headers, signal: AbortSignal.timeout(10_000) })
  const text = await response.text()
  return {
    status: response.status,
    challenge: response.headers.get('www-authenticate'),
    retryAfter: response.headers.get('retry-after'),
    user: response.status === 200 ? readUser(JSON.parse(text)) : null,
  }
}

/** Replaces the header of a signed token. Its signature is then no longer valid. */
function replaceHeader(token: string, header: object): string {
  const encoded = Buffer.from(JSON.stringify(header)).toString('base64url')
  return token.replace(/^[^.]+/, encoded)
}

/** Reads the user from the body of a response. tRPC wraps the result of a procedure. */
function readUser(body: { user?: string; result?: { data: { user: string } } }) {
  return (body.result?.data ?? body).user
}

/** Returns the expected response. The route `/orders` responds with the `sub` of an accepted token as `user`. */
function expectedWithUser(testCase: Case, framework: string, path: string) {
  const expected = expectedOf(testCase, framework)
  const user = path.endsWith('/orders') ? testCase.claims?.sub : undefined
  return { ...expected, user: expected.status === 200 ? user : null }
}

/** Waits until the client of an example has loaded the logouts of the service. */
async function waitUntilLoaded(
  callWith: (token: Pick<Case, 'claims'>) => Promise<{ status: number }>,
  state: ServiceState,
): Promise<void> {
  if (state === 'unreachable') return
  // A login in 1970, before all logouts.
  const claims = { sub: LOGGED_OUT[0]?.userId, iat: 1 }
  await vi.waitFor(async () => expect((await callWith({ claims })).status).toBe(401), WAIT)
}
