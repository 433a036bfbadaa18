import { createServer, type IncomingHttpHeaders } from 'node:http'
import { afterAll, describe, type TestContext, test } from 'vitest'
import { RETRY_LIMITS } from '../../src/auth0/retry.js'
import type { Auth0Limits } from '../../src/service/create-log-source.js'
import { buildEntry } from '../../src/simulator/entries.js'
import * as faults from '../../src/simulator/faults.js'
import { createTestDatabase } from '../_support/database.js'
import { openLoopback } from '../_support/loopback.js'
import { readUserIds } from '../_support/store.js'
import { openTenant, type TestTenant } from '../_support/tenant.js'
import { hasReconciled, startWorker, workerEnv } from '../_support/worker.js'

/** A faulty response of a tenant or of a proxy, and the log line that it causes. */
interface Fault {
  name: string
  respond: faults.FaultHandler
  code: string
  /** The message of the log line. It names the cause and what to do. */
  message: RegExp
  /** The limits of the worker. Default: {@link LIMITS}. */
  limits?: Auth0Limits
  /** Minimum time from the beginning of the fault until the error is logged, in milliseconds. Default: 0. */
  minLoggedMs?: number
  /** Maximum number of faulty responses before the error is logged. Default: no limit. */
  maxAttempts?: number
}

/** The default limits, but with shorter waits and a smaller maximum body. `test/auth0` tests the default values. */
const LIMITS: Auth0Limits = {
  maxBodyBytes: 1024 ** 2,
  retryLimits: { ...RETRY_LIMITS, backoff: { firstMs: 20, maxMs: 200 } },
}

/** Two attempts, each with a timeout that a healthy request does not reach, even on a busy machine. */
const TWO_ATTEMPTS: Auth0Limits = {
  requestTimeoutMs: 2_000,
  retryLimits: { ...RETRY_LIMITS, retries: 1, backoff: { firstMs: 20, maxMs: 200 } },
}

/** One attempt: its timeout is longer than the time for all attempts, like in the default limits. */
const ONE_ATTEMPT: Auth0Limits = {
  requestTimeoutMs: 2_000,
  retryLimits: { ...RETRY_LIMITS, maxElapsedMs: 1_000 },
}

/** Three attempts, with a wait of a second between two attempts. */
const THREE_ATTEMPTS: Auth0Limits = {
  ...LIMITS,
  retryLimits: { ...RETRY_LIMITS, retries: 2 },
}

const WAIT = { timeout: 50_000, interval: 20 }
const LOGS = '/api/v2/logs'
const TOKEN = '/oauth/token'

/** The headers of the requests to the target of a redirect. */
const redirectedRequests: IncomingHttpHeaders[] = []
const redirectTarget = createServer((request, response) => {
  redirectedRequests.push(request.headers)
  response.end('[]')
})
const { url: redirectLocation, close: closeRedirectTarget } = await openLoopback(redirectTarget)
afterAll(closeRedirectTarget)

const JSON_HEADERS = { 'content-type': 'application/json' }
const UNAVAILABLE = 'AUTH0_UNAVAILABLE'
const MALFORMED = 'AUTH0_MALFORMED_PAGE'
const malformedPageMessage = (reason: string) =>
  new RegExp(`not a page of logs: ${reason}.*Check AUTH0_DOMAIN.*proxy`)
const statusMessage = (status: number) =>
  new RegExp(`failed with status ${status}\\. If this persists, check`)
const TIMEOUT_MESSAGE = /timed out after 2 s\. Check the network/

/** Faults of both log requests and token requests. */
const FAULTS_OF_ALL_REQUESTS: Fault[] = [
  {
    name: 'status 500',
    respond: faults.respondWith(500, {}),
    code: UNAVAILABLE,
    message: statusMessage(500),
  },
  {
    name: 'status 502 and an HTML body',
    respond: faults.html(502),
    code: UNAVAILABLE,
    message: statusMessage(502),
  },
  {
    name: 'a connection reset',
    respond: faults.connectionReset(),
    code: UNAVAILABLE,
    message: /cannot be reached/,
  },
  {
    name: 'a cut-off body',
    respond: faults.cutOffBody(),
    code: UNAVAILABLE,
    message: /closed the connection during the response.*Check AUTH0/,
  },
  {
    name: 'a redirect to another host',
    respond: faults.redirect(redirectLocation),
    code: UNAVAILABLE,
    message: /failed with status 302\. Redirects are not followed\. Check AUTH0_DOMAIN/,
  },
  {
    name: 'no response',
    respond: faults.hang(),
    code: UNAVAILABLE,
    message: TIMEOUT_MESSAGE,
    limits: TWO_ATTEMPTS,
  },
  {
    // The body arrives byte by byte, with 100 ms between two bytes.
    name: 'a body that arrives very slowly',
    respond: faults.slowDrip(100),
    code: UNAVAILABLE,
    message: TIMEOUT_MESSAGE,
    limits: TWO_ATTEMPTS,
  },
]

const FAULTS_OF_LOG_REQUESTS: Fault[] = [
  {
    name: 'no response within the time for all attempts',
    respond: faults.hang(),
    code: UNAVAILABLE,
    message: TIMEOUT_MESSAGE,
    limits: ONE_ATTEMPT,
    // A little less than the timeout of 2 s.
    minLoggedMs: 1_900,
    // The second faulty response can belong to the next poll.
    maxAttempts: 2,
  },
  ...FAULTS_OF_ALL_REQUESTS,
  {
    name: 'status 401 (pitfall 12)',
    respond: faults.invalidToken(),
    code: 'AUTH0_CREDENTIALS',
    message: /accepted the client credentials, but .*Check that AUTH0_DOMAIN/,
  },
  {
    name: 'status 403 (pitfall 12)',
    respond: faults.missingScope(),
    code: 'AUTH0_SCOPE',
    message: /lacks read:logs and read:logs_users .* Grant it/,
  },
  {
    name: 'status 429 and retry-after (pitfall 10)',
    limits: THREE_ATTEMPTS,
    minLoggedMs: 2_000,
    respond: faults.rateLimited({ 'retry-after': '1' }),
    code: 'AUTH0_RATE_LIMIT',
    message:
      /log request exceeded the rate limit of Auth0 .*retried once Auth0 allows it\. If this persists/,
  },
  {
    name: 'status 429 without retry-after (pitfall 10)',
    limits: THREE_ATTEMPTS,
    minLoggedMs: 2_000,
    respond: faults.rateLimited(),
    code: 'AUTH0_RATE_LIMIT',
    message: /lower RATE_SHARE/,
  },
  {
    name: 'status 200 and an HTML body',
    respond: faults.html(200),
    code: MALFORMED,
    message: malformedPageMessage('it is not JSON'),
  },
  {
    name: 'status 200 and an empty body',
    respond: faults.respondWith(200, ''),
    code: MALFORMED,
    message: malformedPageMessage('it is not JSON'),
  },
  {
    name: 'cut-off JSON',
    respond: faults.cutOffJson(),
    code: MALFORMED,
    message: malformedPageMessage('it is not JSON'),
  },
  {
    name: 'an endless body',
    respond: faults.endlessBody(),
    code: MALFORMED,
    message: /The response to a log request is larger than 1 MiB\. Check AUTH0_DOMAIN/,
  },
  {
    name: 'an object instead of an array',
    respond: faults.respondWith(200, {}),
    code: MALFORMED,
    message: malformedPageMessage('it is not an array'),
  },
  {
    name: 'the object {"logs":[]}',
    respond: faults.respondWith(200, { logs: [] }),
    code: MALFORMED,
    message: malformedPageMessage('it is not an array'),
  },
  {
    name: 'the JSON value null',
    respond: faults.respondWith(200, 'null', JSON_HEADERS),
    code: MALFORMED,
    message: malformedPageMessage('it is not an array'),
  },
  {
    name: 'an array of values that are not entries',
    respond: faults.respondWith(200, [1, 'x', null, {}, [[]]]),
    code: MALFORMED,
    message: malformedPageMessage('its last entry has no log_id'),
  },
]

const FAULTS_OF_TOKEN_REQUESTS: Fault[] = [
  ...FAULTS_OF_ALL_REQUESTS,
  {
    name: 'status 401 (pitfall 12)',
    respond: faults.respondWith(401, { error: 'access_denied' }),
    code: 'AUTH0_CREDENTIALS',
    message: /Check AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET/,
  },
  {
    name: 'status 429 (pitfall 10)',
    limits: THREE_ATTEMPTS,
    minLoggedMs: 2_000,
    respond: faults.rateLimited({ 'retry-after': '1' }),
    code: 'AUTH0_RATE_LIMIT',
    message: /token request exceeded the rate limit of Auth0/,
  },
  {
    name: 'status 200 and an HTML body',
    respond: faults.html(200),
    code: UNAVAILABLE,
    message: /without a token \(text\/html\)\. Check AUTH0_DOMAIN/,
  },
]

/** Writes a logout of each user to the log of the tenant. */
const logOut = ({ tenant }: TestTenant, users: string[]) => {
  for (const userId of users) tenant.write(buildEntry('slo', { userId, sessionId: userId }))
}

/**
 * Runs a worker with a fault. A fault of token requests begins when the worker starts. A fault of log requests begins
 * after the first catch-up of the worker.
 */
async function runWithFault(
  { code, message, limits = LIMITS, minLoggedMs = 0, maxAttempts = Infinity, ...fault }: Fault,
  path: string,
  { expect, annotate, onTestFinished }: TestContext,
): Promise<void> {
  const database = await createTestDatabase()
  onTestFinished(() => database.drop())
  const auth0 = await openTenant()
  onTestFinished(() => auth0.close())
  const sentTokens = recordTokens(auth0)
  // The ids are in alphabetical order, as `readUserIds` returns them.
  const usersBefore = Array.from({ length: 3 }, (_, n) => `auth0|1-before-${n}`)
  // A page has at most 100 entries, so these logouts do not fit on one page.
  const usersDuring = Array.from({ length: 120 }, (_, n) => `auth0|2-during-${100 + n}`)
  const usersAfter = ['auth0|3-after']

  let faultyResponses = 0
  const respond: faults.FaultHandler = (reply) => {
    faultyResponses++
    return fault.respond(reply)
  }
  logOut(auth0, usersBefore)
  let faultBeganAt = performance.now()
  if (path === TOKEN) auth0.simulator.faults.push({ path, times: Infinity, respond })
  // The job `reconcile`, which searches the recent log for late entries, fails as well. With a short interval, the job
  // recovers soon.
  const env = { ...workerEnv(auth0, database), ...(path === TOKEN && { RECONCILE_INTERVAL: '1s' }) }
  const worker = await startWorker(env, { auth0Limits: limits })
  onTestFinished(() => worker.close())
  if (path === LOGS) {
    await expect.poll(() => readUserIds(database), WAIT).toEqual(usersBefore)
    await expect.poll(() => hasReconciled(worker), WAIT).toBe(true)
    faultBeganAt = performance.now()
    auth0.simulator.faults.push({ path, times: Infinity, respond })
  }
  logOut(auth0, usersDuring)

  const jobsWith = (level: 'error' | 'info' | 'debug', message: string) =>
    worker.logLines(level).flatMap(({ msg, job }) => (msg === message ? [job] : []))
  await expect.poll(() => worker.logLines('error'), WAIT).not.toEqual([])
  const loggedMs = performance.now() - faultBeganAt
  expect(loggedMs).toBeGreaterThanOrEqual(minLoggedMs)
  expect(faultyResponses).toBeLessThanOrEqual(maxAttempts)
  await expect.poll(() => jobsWith('debug', 'job failed'), WAIT).toContain('poll')

  auth0.simulator.faults.clear()
  const clearedAt = performance.now()
  logOut(auth0, usersAfter)
  const allUsers = [...usersBefore, ...usersDuring, ...usersAfter]
  await expect.poll(() => readUserIds(database), WAIT).toEqual(allUsers)
  const recoveredMs = performance.now() - clearedAt
  const failedJobs = jobsWith('error', 'job failed')
  expect(failedJobs).toContain('poll')
  // Each job logs its error once.
  expect(new Set(failedJobs).size).toBe(failedJobs.length)
  await expect.poll(() => jobsWith('info', 'job recovered').sort(), WAIT).toEqual(failedJobs.sort())

  await worker.close()
  const expectedLine = { msg: 'job failed', err: { code, message: expect.stringMatching(message) } }
  expect(worker.logLines('error')).toMatchObject(failedJobs.map(() => expectedLine))
  expect(worker.logLines('warn')).toEqual([])
  const allLines = JSON.stringify(worker.logLines())
  expect(sentTokens.size).toBeGreaterThan(0)
  for (const token of sentTokens) expect(allLines).not.toContain(token)
  expect(allLines).not.toContain(auth0.simulator.credentials.clientSecret)
  // No log line contains a user id.
  expect(allLines).not.toMatch(/auth0\|/)
  expect(redirectedRequests).toEqual([])
  // The worker requests a token at its start, and only one more if Auth0 rejects that token.
  if (path === LOGS) expect(auth0.simulator.requests.count({ path: TOKEN })).toBeLessThanOrEqual(2)
  await annotate(
    `logged after ${toSeconds(loggedMs)}, recovered ${toSeconds(recoveredMs)} after the end of the fault`,
  )
}

/** Records the management tokens that the worker sends to the tenant. */
function recordTokens({ simulator }: TestTenant): Set<string> {
  const tokens = new Set<string>()
  const { take } = simulator.faults
  // The simulator calls `take` for each request, so the replacement sees every request.
  simulator.faults.take = (url) => {
    const respond = take(url)
    return (reply) => {
      const [, token] = reply.request.headers.authorization?.split(' ') ?? []
      if (token) tokens.add(token)
      return respond?.(reply)
    }
  }
  return tokens
}

const toSeconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`

describe.concurrent('log requests that fail', { timeout: 90_000 }, () => {
  for (const fault of FAULTS_OF_LOG_REQUESTS) {
    test(`a worker whose log requests fail with ${fault.name} logs the error once, recovers, and loses nothing (pitfalls 5, 8)`, (context) =>
      runWithFault(fault, LOGS, context))
  }
})

describe.concurrent('token requests that fail from the start of the worker on', {
  timeout: 90_000,
}, () => {
  for (const fault of FAULTS_OF_TOKEN_REQUESTS) {
    test(`a worker whose token requests fail with ${fault.name} logs the error once, recovers, and loses nothing (pitfall 5)`, (context) =>
      runWithFault(fault, TOKEN, context))
  }
})
