import { chmod, chown, copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { chooseServerUser } from '../../src/embedded-postgres/binaries.js'
import { finishCommand } from '../_support/cli.js'
import { finishCommandLine } from '../_support/command-line.js'
import { createTestDatabase } from '../_support/database.js'
import { startPostgres, type TestPostgres } from '../_support/postgres.js'
import { startRedis, type TestRedis } from '../_support/redis.js'
import { runService } from '../_support/running-service.js'
import { KEY } from '../_support/served-api.js'
import { openTestStore } from '../_support/store.js'
import { openTenant, type TestTenant, tenantEnv } from '../_support/tenant.js'
import { type Certificates, openCertificates, openTlsFront } from '../_support/tls.js'
import { listedAsRefused, listedAsWorking } from './compatibility.js'

/**
 * Maximum duration of a command that refuses to run, in milliseconds. It must not wait for a timeout of PostgreSQL or
 * Redis.
 */
const MAX_COMMAND_MS = 15_000

let certificates: Certificates
let certificate: Awaited<ReturnType<Certificates['create']>>
let tenant: TestTenant
beforeAll(async () => {
  certificates = await openCertificates()
  certificate = await certificates.create('IP:127.0.0.1')
  tenant = await openTenant()
})
afterAll(async () => {
  await tenant.close()
  await certificates.remove()
})

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** Returns the environment variables of a command. */
const commandEnv = (env: Record<string, string>) => ({
  ...tenantEnv(tenant.simulator),
  API_KEYS: `test:${KEY}`,
  PORT: '0',
  ...env,
})

/** Expects that a command exits with code 2, and prints an error that matches. */
async function expectRefused(args: string[], env: Record<string, string>, message: RegExp) {
  const startedAt = performance.now()
  const { code, stdout, stderr } = await finishCommandLine(args, commandEnv(env))
  expect(code, `${args}: ${stdout}${stderr}`).toBe(2)
  expect(stderr).toMatch(message)
  // The error is a message of one line, without a stack trace.
  expect(stderr.trimEnd().split('\n')).toHaveLength(1)
  expect(performance.now() - startedAt).toBeLessThan(MAX_COMMAND_MS)
}

/** Runs `doctor`. Returns the result of the check with this name. */
async function runDoctor(env: Record<string, string>, name: string) {
  const { stdout } = await finishCommandLine(['doctor', '--json'], commandEnv(env))
  return findCheck(stdout, name)
}

function findCheck(doctorOutput: string, name: string) {
  const { checks } = JSON.parse(doctorOutput) as { checks: { name: string }[] }
  return checks.find((check) => check.name === name)
}

/** The commands that use the database. */
const COMMANDS = [['migrate'], ['start'], ['api'], ['worker'], ['sync'], ['status']]

describe('PostgreSQL with TLS', () => {
  let server: TestPostgres
  let dir: string
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'last-logout-ssl-'))
    const [cert, key] = await install(certificate)
    server = await startPostgres({ ssl: 'on', ssl_cert_file: cert, ssl_key_file: key })
  })
  afterAll(async () => {
    await server?.remove()
    await rm(dir, { recursive: true, force: true })
  })

  /** Copies a certificate and its key to the directory of the server. Returns both paths. */
  async function install({
    file,
    keyFile,
  }: typeof certificate): Promise<[cert: string, key: string]> {
    const [cert, key] = [join(dir, 'server.pem'), join(dir, 'server.key')]
    await copyFile(file, cert)
    await copyFile(keyFile, key)
    // PostgreSQL requires that only its user can read the key. If these tests run as root, it runs as another user.
    await chmod(key, 0o600)
    const user = await chooseServerUser(null)
    if (user) for (const path of [dir, cert, key]) await chown(path, user.uid, user.gid)
    return [cert, key]
  }

  /** Restarts the server with this certificate. */
  async function restartWith(newCertificate: typeof certificate): Promise<void> {
    await server.stop()
    await install(newCertificate)
    await server.start()
  }

  /** Returns the URL of the server with these parameters. */
  const urlWith = (parameters: Record<string, string>, host = '127.0.0.1') => {
    const url = new URL(server.url)
    url.hostname = host
    for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
    return url.href
  }

  test.each(COMMANDS)(
    '%s refuses an untrusted certificate of PostgreSQL',
    listedAsRefused(
      'PostgreSQL',
      'an untrusted certificate',
      'exit code 2, with the code of Node, `sslrootcert` and `NODE_EXTRA_CA_CERTS`',
    ),
    async (command) => {
      const env = { DATABASE_URL: urlWith({ sslmode: 'verify-full' }) }
      await expectRefused(
        [command],
        env,
        /TLS certificate verification failed for PostgreSQL \(DEPTH_ZERO_SELF_SIGNED_CERT\): set sslrootcert .* NODE_EXTRA_CA_CERTS/,
      )
    },
  )

  test.each(COMMANDS)(
    '%s refuses an sslrootcert that does not exist',
    listedAsRefused(
      'PostgreSQL',
      'an `sslrootcert` that does not exist',
      'exit code 2, with the path',
    ),
    async (command) => {
      const env = { DATABASE_URL: urlWith({ sslmode: 'verify-full', sslrootcert: '/no/such.pem' }) }
      await expectRefused(
        [command],
        env,
        /the file \/no\/such.pem cannot be read \(ENOENT\): correct sslrootcert/,
      )
    },
  )

  test('api refuses a certificate of PostgreSQL for another host name', async () => {
    const parameters = { sslmode: 'verify-full', sslrootcert: certificate.file }
    // The certificate is for 127.0.0.1.
    const env = { DATABASE_URL: urlWith(parameters, 'localhost') }
    await expectRefused(
      ['api'],
      env,
      /ERR_TLS_CERT_ALTNAME_INVALID.*a host name that the certificate/,
    )
  })

  test('api refuses an sslrootcert that contains no certificate', async () => {
    const file = join(dir, 'empty.pem')
    await writeFile(file, 'no certificate')
    const env = { DATABASE_URL: urlWith({ sslmode: 'verify-full', sslrootcert: file }) }
    await expectRefused(['api'], env, /TLS certificate verification failed for PostgreSQL/)
  })

  test('doctor reports why the certificate of PostgreSQL is not verified, and the remedy', async () => {
    const envWithUntrusted = { DATABASE_URL: urlWith({ sslmode: 'verify-full' }) }
    expect(await runDoctor(envWithUntrusted, 'database')).toMatchObject({
      status: 'failure',
      message: expect.stringMatching(/DEPTH_ZERO_SELF_SIGNED_CERT.*sslrootcert/),
    })
    const envWithMissingFile = {
      DATABASE_URL: urlWith({ sslmode: 'verify-full', sslrootcert: '/no/such' }),
    }
    expect(await runDoctor(envWithMissingFile, 'database')).toMatchObject({
      status: 'failure',
      message: expect.stringMatching(/\/no\/such cannot be read \(ENOENT\)/),
    })
  })

  test(
    'all connections of the service and its queue use TLS with sslrootcert',
    listedAsWorking('PostgreSQL', 'TLS with `sslrootcert` or `NODE_EXTRA_CA_CERTS`'),
    async () => {
      const url = urlWith({ sslmode: 'verify-full', sslrootcert: certificate.file })
      const service = await runService({ DATABASE_URL: url })
      closers.push(service.close)
      service.logout('auth0|tls')
      await service.waitForLogout('auth0|tls')
      const anyMessage = /./
      expect(service.countLines('warn', anyMessage)).toBe(0)
      // All connections without TLS, except for the connection of this query.
      const unencryptedSessions = await server.query(
        `SELECT FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
       WHERE NOT ssl AND backend_type = 'client backend' AND pid <> pg_backend_pid()`,
      )
      expect(unencryptedSessions).toEqual([])
    },
  )

  test('the store reports an outage and its cause while PostgreSQL has an untrusted certificate', async () => {
    const store = await openTestStore({
      url: urlWith({ sslmode: 'verify-full', sslrootcert: certificate.file }),
    })
    closers.push(store.close)
    await restartWith(await certificates.create('IP:127.0.0.1'))
    // `readProgress` queries through Prisma, and `readKnownLogouts` through the driver. Their messages differ.
    await expect(store.readProgress()).rejects.toMatchObject({
      code: 'DATABASE_UNAVAILABLE',
      message: expect.stringMatching(
        /TLS failed for PostgreSQL \(self-signed certificate\): set sslrootcert/,
      ),
    })
    await expect(store.readKnownLogouts('auth0|1', null)).rejects.toMatchObject({
      code: 'DATABASE_UNAVAILABLE',
      message: expect.stringMatching(
        /TLS certificate verification failed for PostgreSQL \(DEPTH_ZERO_SELF_SIGNED_CERT\): set sslrootcert/,
      ),
    })
    await restartWith(certificate)
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: null })
  })

  test('migrate trusts a certificate of PostgreSQL in NODE_EXTRA_CA_CERTS', async () => {
    // Node.js reads this variable only when a process starts, so the command needs its own process.
    const env = commandEnv({ DATABASE_URL: urlWith({ sslmode: 'verify-full' }) })
    const result = await finishCommand(['migrate'], {
      ...env,
      NODE_EXTRA_CA_CERTS: certificate.file,
    })
    expect(result).toMatchObject({ code: 0, stdout: 'the database is up to date\n' })
  })
})

test.each(['require', 'verify-full'])(
  'api refuses a server without TLS if DATABASE_URL has sslmode=%s',
  listedAsRefused(
    'PostgreSQL',
    '`sslmode=require` or `sslmode=verify-full` on a server without TLS',
    'exit code 2',
  ),
  async (sslmode) => {
    const database = await createTestDatabase()
    closers.push(database.drop)
    const env = { DATABASE_URL: `${database.url}?sslmode=${sslmode}` }
    await expectRefused(['api'], env, /PostgreSQL does not support TLS: .* or remove sslmode/)
  },
)

describe('Redis with TLS', () => {
  let redis: TestRedis
  beforeAll(async () => {
    const server = await startRedis({ forceNew: true })
    if ('skip' in server) throw new Error(server.skip)
    redis = server
  })
  afterAll(() => redis?.stop())

  /** Opens a proxy that accepts TLS connections to Redis. Returns its URL. */
  const openTlsRedis = async () => {
    const front = await openTlsFront(redis.url, certificate)
    closers.push(front.close)
    return front.url.replace('https:', 'rediss:')
  }
  /** Creates a database until the end of the test. Returns its URL. */
  const openDatabase = async () => {
    const database = await createTestDatabase()
    closers.push(database.drop)
    return database.url
  }

  test.each(['start', 'worker'])(
    '%s refuses an untrusted certificate of Redis',
    listedAsRefused(
      'Redis and Valkey',
      'an untrusted certificate',
      'exit code 2, with the code of Node and `NODE_EXTRA_CA_CERTS`',
    ),
    async (command) => {
      const env = { DATABASE_URL: await openDatabase(), REDIS_URL: await openTlsRedis() }
      await expectRefused(
        [command],
        { ...env, LOG_LEVEL: 'silent' },
        /TLS certificate verification failed for Redis \(DEPTH_ZERO_SELF_SIGNED_CERT\): set NODE_EXTRA_CA_CERTS/,
      )
    },
  )

  test('doctor reports why the certificate of Redis is not verified, and the remedy', async () => {
    const env = { DATABASE_URL: await openDatabase(), REDIS_URL: await openTlsRedis() }
    expect(await runDoctor(env, 'queue')).toMatchObject({
      status: 'failure',
      message: expect.stringMatching(/DEPTH_ZERO_SELF_SIGNED_CERT.*NODE_EXTRA_CA_CERTS/),
    })
  })

  test('doctor trusts a certificate of Redis in NODE_EXTRA_CA_CERTS', async () => {
    const env = { DATABASE_URL: await openDatabase(), REDIS_URL: await openTlsRedis() }
    const { stdout } = await finishCommand(['doctor', '--json'], {
      ...commandEnv(env),
      NODE_EXTRA_CA_CERTS: certificate.file,
    })
    expect(findCheck(stdout, 'queue')).toMatchObject({ status: 'ok' })
  })
})
