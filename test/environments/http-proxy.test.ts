import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { buildEntry } from '../../src/simulator/entries.js'
import { ACTION_SCOPES } from '../_support/actions.js'
import { finishCommand, runCommand } from '../_support/cli.js'
import { openConnectProxy } from '../_support/connect-proxy.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { readRows } from '../_support/store.js'
import { openTenant, type TestTenant } from '../_support/tenant.js'
import { openCertificates, openTlsFront, type TlsFront } from '../_support/tls.js'
import { workerEnv } from '../_support/worker.js'
import { listedAsRefused, listedAsWorking } from './compatibility.js'

/** Options of `expect.poll`, in milliseconds. A test waits until a worker in another process has started. */
const WAIT = { timeout: 30_000, interval: 50 }

/** The credentials of a proxy. The password contains characters that a URL must encode. */
const USER = 'me'
const PASSWORD = 'p@ss:word-that-no-output-may-show'

/** Matches a part of the password, or `no-output` in Base64, as in the header Proxy-Authorization. */
const PASSWORD_PART = /no-output-may-show|bm8tb3V0cHV0/

/** No DNS server resolves this name (RFC 6761 §6.4), so the tenant is reachable only through a proxy. */
const TENANT_HOST = 'tenant.invalid:443'

const certificates = await openCertificates()
let database: TestDatabase
let testTenant: TestTenant
/** The simulated tenant with TLS. */
let tenantFront: TlsFront
/** The environment of commands that can reach the tenant only through a proxy. */
let env: Record<string, string>
beforeAll(async () => {
  database = await createTestDatabase()
  testTenant = await openTenant({}, { scopes: ['read:logs', 'read:logs_users', ...ACTION_SCOPES] })
  const certificate = await certificates.create('DNS:tenant.invalid,IP:127.0.0.1')
  tenantFront = await openTlsFront(testTenant.simulator.url, certificate)
  env = {
    ...workerEnv(testTenant, database),
    AUTH0_BASE_URL: 'https://tenant.invalid',
    NODE_EXTRA_CA_CERTS: certificate.file,
  }
})
afterAll(async () => {
  await tenantFront.close()
  await testTenant.close()
  await database.drop()
  await certificates.remove()
})

/** Opens an HTTP proxy that can reach the tenant, until the end of the test. */
async function openProxy(options: Parameters<typeof openConnectProxy>[0] = {}) {
  const proxy = await openConnectProxy({ routes: { [TENANT_HOST]: tenantFront.url }, ...options })
  onTestFinished(() => proxy.close())
  return proxy
}

/**
 * Runs `last-logout worker` with its own database until the end of the test.
 *
 * @param overrides Variables that replace or complete `env`.
 * @returns The process, and a function that reads the ids of the users whose logouts are stored.
 */
async function runWorker(overrides: Record<string, string>) {
  const database = await createTestDatabase()
  const command = runCommand(['worker'], { ...env, DATABASE_URL: database.url, ...overrides })
  onTestFinished(async () => {
    command.kill('SIGKILL')
    await command.exited
    await database.drop()
  })
  const readUserIds = async () => (await readRows(database)).users.map(({ userId }) => userId)
  return { ...command, readUserIds }
}

/** Writes a logout of the user to the log of the tenant. */
const logOut = (userId: string) =>
  testTenant.tenant.write(buildEntry('slo', { userId, sessionId: `S ${userId}` }))

describe('a worker behind a proxy', () => {
  test('a worker reads the log through a proxy with credentials, and no output contains the credentials', {
    ...listedAsWorking('Proxies to Auth0', 'HTTP proxy with credentials (`HTTPS_PROXY`)'),
    timeout: 60_000,
  }, async () => {
    const proxy = await openProxy({ credentials: `${USER}:${PASSWORD}` })
    const url = new URL(proxy.url)
    url.username = USER
    url.password = encodeURIComponent(PASSWORD)
    logOut('auth0|proxied')
    const worker = await runWorker({ HTTPS_PROXY: url.href })
    await expect.poll(worker.readUserIds, WAIT).toContain('auth0|proxied')
    expect(new Set(proxy.targets)).toEqual(new Set([TENANT_HOST]))
    // The worker reuses connections. It does not open a connection for each request.
    expect(proxy.targets.length).toBeLessThan(5)
    worker.kill('SIGTERM')
    expect(await worker.exited).toBe(0)
    expect(worker.stdout()).toContain(`"proxy":"${proxy.url}"`)
    expect(worker.output()).not.toMatch(PASSWORD_PART)
  })

  test('a worker reads the log through a proxy whose URL is https', {
    ...listedAsWorking('Proxies to Auth0', 'HTTPS proxy'),
    timeout: 60_000,
  }, async () => {
    const proxy = await openProxy()
    const certificate = await certificates.create('IP:127.0.0.1')
    /** The proxy with TLS. */
    const proxyFront = await openTlsFront(proxy.url, certificate)
    onTestFinished(() => proxyFront.close())
    // The worker has to trust two certificates: that of the proxy, and that of the tenant.
    const bundle = await certificates.bundle(certificate, {
      ...certificate,
      file: String(env.NODE_EXTRA_CA_CERTS),
    })
    logOut('auth0|proxied with TLS')
    const worker = await runWorker({ https_proxy: proxyFront.url, NODE_EXTRA_CA_CERTS: bundle })
    await expect.poll(worker.readUserIds, WAIT).toContain('auth0|proxied with TLS')
    expect(new Set(proxy.targets)).toEqual(new Set([TENANT_HOST]))
  })

  test('a worker connects directly to a host in NO_PROXY, and through the proxy to other hosts', {
    ...listedAsWorking('Proxies to Auth0', 'hosts of `NO_PROXY`'),
    timeout: 60_000,
  }, async () => {
    const proxy = await openProxy()
    const overrides = { AUTH0_BASE_URL: tenantFront.url, HTTPS_PROXY: proxy.url }
    logOut('auth0|direct')
    const directWorker = await runWorker({ ...overrides, NO_PROXY: 'localhost,127.0.0.1' })
    await expect.poll(directWorker.readUserIds, WAIT).toContain('auth0|direct')
    directWorker.kill('SIGTERM')
    expect(await directWorker.exited).toBe(0)
    expect(proxy.targets).toEqual([])

    logOut('auth0|not direct')
    const proxiedWorker = await runWorker({ ...overrides, NO_PROXY: 'localhost' })
    await expect.poll(proxiedWorker.readUserIds, WAIT).toContain('auth0|not direct')
    expect(new Set(proxy.targets)).toEqual(new Set([new URL(tenantFront.url).host]))
  })

  // The proxy closes the connection, sends no response, or responds with 200 but then forwards no data.
  test.each(['drop', 'silent', 'silent after 200'] as const)(
    'if the proxy opens no tunnel to the tenant (%s), a worker makes few attempts, and exits after SIGTERM',
    async (treatment) => {
      const proxy = await openProxy({ treatment })
      const worker = await runWorker({ HTTPS_PROXY: proxy.url })
      await expect.poll(() => proxy.targets.length, WAIT).toBeGreaterThan(0)
      const attemptsBefore = proxy.targets.length
      await sleep(3_000)
      // The worker makes at most five attempts in four seconds. The bound leaves a margin.
      expect(proxy.targets.length - attemptsBefore).toBeLessThan(10)
      const signalledAt = performance.now()
      worker.kill('SIGTERM')
      expect(await worker.exited).toBe(0)
      expect(performance.now() - signalledAt).toBeLessThan(5_000)
      const attemptsAtExit = proxy.targets.length
      // If a part of the worker still ran, it would make further attempts.
      await sleep(200)
      expect(proxy.targets).toHaveLength(attemptsAtExit)
    },
    60_000,
  )
})

describe('a command behind a proxy', () => {
  test.each([
    ['doctor', ['doctor'], /ok +token +granted by https:\/\/tenant\.invalid through the proxy/],
    // Any output of `sync` is accepted, because the requests that the proxy receives show that `sync` uses it.
    ['sync', ['sync'], /./],
    ['action status', ['action', 'status'], /tenant +tenant\.example/],
    ['action deploy', ['action', 'deploy', '--url', 'https://api.example', '--dry-run'], /would/],
  ])(
    '`%s` reaches the tenant through the proxy of HTTPS_PROXY, and cannot reach it without HTTPS_PROXY',
    async (_name, args, expectedOutput) => {
      const proxy = await openProxy()
      const keys = { API_KEYS: `action:${'k'.repeat(32)}:read` }
      const { stdout, stderr } = await finishCommand(args, {
        ...env,
        ...keys,
        HTTPS_PROXY: proxy.url,
      })
      expect(stdout).toMatch(expectedOutput)
      expect(stdout + stderr).not.toContain('cannot be reached')
      expect(new Set(proxy.targets)).toEqual(new Set([TENANT_HOST]))

      const resultWithoutProxy = await finishCommand(args, { ...env, ...keys })
      expect(resultWithoutProxy.stdout + resultWithoutProxy.stderr).toMatch(
        /tenant\.invalid cannot be resolved/,
      )
    },
    120_000,
  )

  test(
    'a command refuses an invalid HTTPS_PROXY, and prints the name of the variable but not its value',
    listedAsRefused(
      'Proxies to Auth0',
      'an invalid proxy, or SOCKS',
      'exit code 2, without the value',
    ),
    async () => {
      const HTTPS_PROXY = `socks5://${USER}:${encodeURIComponent(PASSWORD)}@127.0.0.1:1080`
      const { code, stderr } = await finishCommand(['doctor'], { ...env, HTTPS_PROXY })
      expect(code).toBe(2)
      expect(stderr).toContain('HTTPS_PROXY must be the URL of an HTTP proxy')
      expect(stderr).not.toMatch(PASSWORD_PART)
    },
  )
})
