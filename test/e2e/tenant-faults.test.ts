import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, describe, type TestContext, test } from 'vitest'
import { RETRY_LIMITS } from '../../src/auth0/retry.js'
import type { Auth0Limits } from '../../src/service/service.js'
import { buildEntry } from '../../src/simulator/entries.js'
import * as faults from '../../src/simulator/faults.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { readRows } from '../_support/store.js'
import { openTenant, type TestTenant } from '../_support/tenant.js'
import { hasReconciled, startWorker, workerEnv } from '../_support/worker.js'

/** What a tenant, or whoever stands before it, may answer, and what the log then says. */
interface Case {
  name: string
  respond: faults.FaultHandler
  code: string
  /** The message: what is wrong, and what to do. */
  says: RegExp
  /** In place of {@link LIMITS}. */
  limits?: Auth0Limits
  /** It is not said before: so long the attempts have to wait, in milliseconds. */
  notBeforeMs?: number
  /** How many requests get the fault, at most, before it is said. */
  attempts?: number
}

/** The limits of the service but for its waits, which `test/auth0` tests, and a body that is soon read. */
const LIMITS: Auth0Limits = {
  maxBodyBytes: 1024 ** 2,
  retryLimits: { ...RETRY_LIMITS, backoff: { firstMs: 20, maxMs: 200 } },
}

/** Two attempts of a length that a request without a fault never takes, not on a busy machine either. */
const TIMED_OUT: Auth0Limits = {
  requestTimeoutMs: 3_000,
  retryLimits: { ...RETRY_LIMITS, retries: 1, backoff: { firstMs: 20, maxMs: 200 } },
}

/** As by default, one attempt lasts longer than all of them may. */
const TIMED_OUT_ONCE: Auth0Limits = {
  requestTimeoutMs: 3_000,
  retryLimits: { ...RETRY_LIMITS, maxElapsedMs: 2_000 },
}

const PATIENCE = { timeout: 50_000, interval: 20 }
const LOGS = '/api/v2/logs'
const TOKEN = '/oauth/token'

/** Whom a redirect leads to, and what was sent there. */
const sentElsewhere: IncomingHttpHeaders[] = []
const elsewhere = createServer((request, response) => {
  sentElsewhere.push(request.headers)
  response.end('[]')
}).listen(0, '127.0.0.1')
await once(elsewhere, 'listening')
afterAll(() => elsewhere.close())
const location = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/`

const json = { 'content-type': 'application/json' }
const AWAY = 'AUTH0_UNAVAILABLE'
const MALFORMED = 'AUTH0_MALFORMED_PAGE'
const notAPage = (why: string) =>
  new RegExp(`not a page of logs: ${why}.*Check AUTH0_DOMAIN.*proxy`)
const lasts = (status: number) =>
  new RegExp(`failed with status ${status}\\. If this persists, check`)
const late = /timed out after 3 s\. Check the network/

/** On every path. */
const EVERYWHERE: Case[] = [
  { name: '500', respond: faults.respondWith(500, {}), code: AWAY, says: lasts(500) },
  { name: '502 with HTML', respond: faults.html(502), code: AWAY, says: lasts(502) },
  { name: 'a reset', respond: faults.connectionReset(), code: AWAY, says: /cannot be reached/ },
  {
    name: 'a cut-off body',
    respond: faults.cutOffBody(),
    code: AWAY,
    says: /closed the connection during the response.*Check AUTH0/,
  },
  {
    name: 'a redirect to another host',
    respond: faults.redirect(location),
    code: AWAY,
    says: /failed with status 302\. Redirects are not followed\. Check AUTH0_DOMAIN/,
  },
  { name: 'silence', respond: faults.hang(), code: AWAY, says: late, limits: TIMED_OUT },
  {
    name: 'a slow drip',
    respond: faults.slowDrip(100),
    code: AWAY,
    says: late,
    limits: TIMED_OUT,
  },
]

const OF_THE_LOG: Case[] = [
  {
    name: 'silence, for longer than all attempts may last,',
    respond: faults.hang(),
    code: AWAY,
    says: late,
    limits: TIMED_OUT_ONCE,
    notBeforeMs: 2_900,
    // The next may be that of the next poll.
    attempts: 2,
  },
  ...EVERYWHERE,
  {
    name: '401 (P12)',
    respond: faults.invalidToken(),
    code: 'AUTH0_CREDENTIALS',
    says: /Check AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET/,
  },
  {
    name: '403 (P12)',
    respond: faults.missingScope(),
    code: 'AUTH0_SCOPE',
    says: /lacks read:logs and read:logs_users .* Grant it/,
  },
  {
    name: '429 with retry-after (P10)',
    notBeforeMs: 4_000,
    respond: faults.rateLimited({ 'retry-after': '1' }),
    code: 'AUTH0_RATE_LIMIT',
    says: /log request exceeded the rate limit of Auth0 .*retried once Auth0 allows it\. If this persists/,
  },
  {
    name: '429 without retry-after (P10)',
    notBeforeMs: 4_000,
    respond: faults.rateLimited(),
    code: 'AUTH0_RATE_LIMIT',
    says: /lower RATE_SHARE/,
  },
  {
    name: '200 with HTML',
    respond: faults.html(200),
    code: MALFORMED,
    says: notAPage('it is not JSON'),
  },
  {
    name: '200 with nothing',
    respond: faults.respondWith(200, ''),
    code: MALFORMED,
    says: notAPage('it is not JSON'),
  },
  {
    name: 'cut-off JSON',
    respond: faults.cutOffJson(),
    code: MALFORMED,
    says: notAPage('it is not JSON'),
  },
  {
    name: 'an endless body',
    respond: faults.endlessBody(),
    code: MALFORMED,
    says: notAPage('it is larger than 1 MB'),
  },
  {
    name: 'an object',
    respond: faults.respondWith(200, {}),
    code: MALFORMED,
    says: notAPage('it is not an array'),
  },
  {
    name: '{"logs":[]}',
    respond: faults.respondWith(200, { logs: [] }),
    code: MALFORMED,
    says: notAPage('it is not an array'),
  },
  {
    name: 'null',
    respond: faults.respondWith(200, 'null', json),
    code: MALFORMED,
    says: notAPage('it is not an array'),
  },
  {
    name: 'an array of junk',
    respond: faults.respondWith(200, [1, 'x', null, {}, [[]]]),
    code: MALFORMED,
    says: notAPage('its last entry has no log_id'),
  },
]

const OF_THE_TOKEN: Case[] = [
  ...EVERYWHERE,
  {
    name: '401 (P12)',
    respond: faults.respondWith(401, { error: 'access_denied' }),
    code: 'AUTH0_CREDENTIALS',
    says: /Check AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET/,
  },
  {
    name: '429 (P10)',
    notBeforeMs: 4_000,
    respond: faults.rateLimited({ 'retry-after': '1' }),
    code: 'AUTH0_RATE_LIMIT',
    says: /token request exceeded the rate limit of Auth0/,
  },
  {
    name: '200 with HTML',
    respond: faults.html(200),
    code: AWAY,
    says: /without a token \(text\/html\)\. Check AUTH0_DOMAIN/,
  },
]

const logOut = ({ tenant }: TestTenant, users: string[]) => {
  for (const userId of users) tenant.write(buildEntry('slo', { userId, sessionId: userId }))
}
const readUsers = async (database: TestDatabase) =>
  (await readRows(database)).users.map(({ userId }) => userId)

/** Lets a worker undergo a fault, from its start on where the fault is the token's. */
async function undergo(
  { code, says, limits = LIMITS, notBeforeMs = 0, attempts = Infinity, ...fault }: Case,
  path: string,
  { expect, annotate, onTestFinished }: TestContext,
): Promise<void> {
  const database = await createTestDatabase()
  onTestFinished(() => database.drop())
  const t = await openTenant()
  onTestFinished(() => t.close())
  const sent = watchTokens(t)
  const before = Array.from({ length: 3 }, (_, n) => `auth0|1-before-${n}`)
  // More than a page.
  const during = Array.from({ length: 120 }, (_, n) => `auth0|2-during-${100 + n}`)
  const after = ['auth0|3-after']

  let faulty = 0
  const respond: faults.FaultHandler = (reply) => {
    faulty++
    return fault.respond(reply)
  }
  logOut(t, before)
  let beganAt = performance.now()
  if (path === TOKEN) t.simulator.faults.push({ path, times: Infinity, respond })
  // Reconciling fails too, and shall work again before long.
  const env = { ...workerEnv(t, database), ...(path === TOKEN && { RECONCILE_INTERVAL: '1s' }) }
  const worker = await startWorker(env, { auth0Limits: limits })
  onTestFinished(() => worker.close())
  if (path === LOGS) {
    await expect.poll(() => readUsers(database), PATIENCE).toEqual(before)
    await expect.poll(() => hasReconciled(worker), PATIENCE).toBe(true)
    beganAt = performance.now()
    t.simulator.faults.push({ path, times: Infinity, respond })
  }
  logOut(t, during)

  const jobsThat = (level: 'error' | 'info' | 'debug', what: string) =>
    worker.lines(level).flatMap(({ msg, job }) => (msg === what ? [job] : []))
  await expect.poll(() => worker.lines('error'), PATIENCE).not.toEqual([])
  const toldMs = performance.now() - beganAt
  expect(toldMs).toBeGreaterThanOrEqual(notBeforeMs)
  expect(faulty).toBeLessThanOrEqual(attempts)
  await expect.poll(() => jobsThat('debug', 'job failed'), PATIENCE).toContain('poll')

  t.simulator.faults.clear()
  const clearedAt = performance.now()
  logOut(t, after)
  await expect.poll(() => readUsers(database), PATIENCE).toEqual([...before, ...during, ...after])
  const recoveredMs = performance.now() - clearedAt
  const troubled = jobsThat('error', 'job failed')
  expect(troubled).toContain('poll')
  expect(new Set(troubled).size).toBe(troubled.length)
  await expect
    .poll(() => jobsThat('info', 'job works again').sort(), PATIENCE)
    .toEqual(troubled.sort())

  await worker.close()
  const told = { msg: 'job failed', err: { code, message: expect.stringMatching(says) } }
  expect(worker.lines('error')).toMatchObject(troubled.map(() => told))
  expect(worker.lines('warn')).toEqual([])
  const logged = JSON.stringify(worker.lines())
  expect(sent.size).toBeGreaterThan(0)
  for (const token of sent) expect(logged).not.toContain(token)
  expect(logged).not.toContain(t.simulator.credentials.clientSecret)
  expect(logged).not.toMatch(/auth0\|/)
  expect(sentElsewhere).toEqual([])
  if (path === LOGS) expect(t.simulator.requests.count({ path: TOKEN })).toBeLessThanOrEqual(2)
  await annotate(`said after ${toSeconds(toldMs)}, read ${toSeconds(recoveredMs)} after its end`)
}

/** The credentials that were sent: a fault that does nothing sees every request first. */
function watchTokens({ simulator }: TestTenant): Set<string> {
  const sent = new Set<string>()
  const { take } = simulator.faults
  simulator.faults.take = (url) => {
    const respond = take(url)
    return (reply) => {
      const [, token] = reply.request.headers.authorization?.split(' ') ?? []
      if (token) sent.add(token)
      return respond?.(reply)
    }
  }
  return sent
}

const toSeconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`

describe.concurrent('a worker whose log requests are answered with', { timeout: 90_000 }, () => {
  for (const one of OF_THE_LOG) {
    test(`${one.name} says so once, goes on by itself, and loses nothing (P5, P8)`, (context) =>
      undergo(one, LOGS, context))
  }
})

describe.concurrent('a worker whose token requests are answered, from its start on, with', {
  timeout: 90_000,
}, () => {
  for (const one of OF_THE_TOKEN) {
    test(`${one.name} says so once, goes on by itself, and loses nothing (P5)`, (context) =>
      undergo(one, TOKEN, context))
  }
})
