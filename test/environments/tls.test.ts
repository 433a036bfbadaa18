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
import { refuses, works } from './compatibility.js'

/** Commands exit at once, not after a time limit. */
const AT_ONCE_MS = 15_000

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

/** The environment of every command. */
const environment = (env: Record<string, string>) => ({
  ...tenantEnv(tenant.simulator),
  API_KEYS: `test:${KEY}`,
  PORT: '0',
  ...env,
})

async function expectRefused(args: string[], env: Record<string, string>, message: RegExp) {
  const startedAt = performance.now()
  const { code, stdout, stderr } = await finishCommandLine(args, environment(env))
  expect(code, `${args}: ${stdout}${stderr}`).toBe(2)
  expect(stderr).toMatch(message)
  // One message, without a stack.
  expect(stderr.trimEnd().split('\n')).toHaveLength(1)
  expect(performance.now() - startedAt).toBeLessThan(AT_ONCE_MS)
}

async function runDoctor(env: Record<string, string>, name: string) {
  const { stdout } = await finishCommandLine(['doctor', '--json'], environment(env))
  const { checks } = JSON.parse(stdout) as { checks: { name: string }[] }
  return checks.find((check) => check.name === name)
}

/** Every command that uses the database. */
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

  /** Copies a certificate and its key to where the server reads them. Returns both paths. */
  async function install({ file }: typeof certificate): Promise<[cert: string, key: string]> {
    const user = await chooseServerUser(null)
    const [cert, key] = [join(dir, 'server.pem'), join(dir, 'server.key')]
    await copyFile(file, cert)
    await copyFile(file.replace(/pem$/, 'key'), key)
    await chmod(key, 0o600)
    if (user) for (const path of [dir, cert, key]) await chown(path, user.uid, user.gid)
    return [cert, key]
  }

  /** Restarts the server with a certificate. */
  async function present(next: typeof certificate): Promise<void> {
    await server.stop()
    await install(next)
    await server.start()
  }

  const urlOf = (parameters: Record<string, string>, host = '127.0.0.1') => {
    const url = new URL(server.url)
    url.hostname = host
    for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
    return url.href
  }

  test.each(COMMANDS)(
    '%s refuses an untrusted certificate',
    refuses(
      'PostgreSQL',
      'an untrusted certificate',
      'exit code 2, with the code of Node, `sslrootcert` and `NODE_EXTRA_CA_CERTS`',
    ),
    async (command) => {
      const env = { DATABASE_URL: urlOf({ sslmode: 'verify-full' }) }
      await expectRefused(
        [command],
        env,
        /TLS certificate verification failed for PostgreSQL \(DEPTH_ZERO_SELF_SIGNED_CERT\): set sslrootcert .* NODE_EXTRA_CA_CERTS/,
      )
    },
  )

  test.each(COMMANDS)(
    '%s refuses an sslrootcert that does not exist',
    refuses('PostgreSQL', 'an `sslrootcert` that does not exist', 'exit code 2, with the path'),
    async (command) => {
      const env = { DATABASE_URL: urlOf({ sslmode: 'verify-full', sslrootcert: '/no/such.pem' }) }
      await expectRefused(
        [command],
        env,
        /the file \/no\/such.pem cannot be read \(ENOENT\): correct sslrootcert/,
      )
    },
  )

  test('a certificate for another host name is refused', async () => {
    const parameters = { sslmode: 'verify-full', sslrootcert: certificate.file }
    const env = { DATABASE_URL: urlOf(parameters, 'localhost') }
    await expectRefused(['api'], env, /ERR_TLS_CERT_ALTNAME_INVALID.*a host name that the certi/)
  })

  test('a file that is no certificate is refused', async () => {
    const file = join(dir, 'empty.pem')
    await writeFile(file, 'no certificate')
    const env = { DATABASE_URL: urlOf({ sslmode: 'verify-full', sslrootcert: file }) }
    await expectRefused(['api'], env, /TLS certificate verification failed for PostgreSQL/)
  })

  test('doctor names the code and the remedy', async () => {
    const untrusted = { DATABASE_URL: urlOf({ sslmode: 'verify-full' }) }
    expect(await runDoctor(untrusted, 'database')).toMatchObject({
      status: 'failure',
      message: expect.stringMatching(/DEPTH_ZERO_SELF_SIGNED_CERT.*sslrootcert/),
    })
    const missing = { DATABASE_URL: urlOf({ sslmode: 'verify-full', sslrootcert: '/no/such' }) }
    expect(await runDoctor(missing, 'database')).toMatchObject({
      status: 'failure',
      message: expect.stringMatching(/\/no\/such cannot be read \(ENOENT\)/),
    })
  })

  test(
    'the service works with sslrootcert, over TLS, and with the queue in the same database',
    works('PostgreSQL', 'TLS with `sslrootcert` or `NODE_EXTRA_CA_CERTS`'),
    async () => {
      const url = urlOf({ sslmode: 'verify-full', sslrootcert: certificate.file })
      const service = await runService({ DATABASE_URL: url })
      closers.push(service.close)
      service.logout('auth0|tls')
      await service.waitForLogout('auth0|tls')
      expect(service.countLines('warn', /./)).toBe(0)
      const sessions = await server.query(
        `SELECT FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
       WHERE NOT ssl AND backend_type = 'client backend' AND pid <> pg_backend_pid()`,
      )
      expect(sessions).toEqual([])
    },
  )

  test('a certificate that is replaced while the service runs is an outage that names the cause', async () => {
    const store = await openTestStore({
      url: urlOf({ sslmode: 'verify-full', sslrootcert: certificate.file }),
    })
    closers.push(store.close)
    await present(await certificates.create('IP:127.0.0.1'))
    await expect(store.readProgress()).rejects.toMatchObject({
      code: 'DATABASE_UNAVAILABLE',
      message: expect.stringMatching(
        /TLS failed for PostgreSQL \(self-signed certificate\): set sslr/,
      ),
    })
    await present(certificate)
    await expect(store.readProgress()).resolves.toMatchObject({ asOf: null })
  })

  test('NODE_EXTRA_CA_CERTS suffices', async () => {
    const env = environment({ DATABASE_URL: urlOf({ sslmode: 'verify-full' }) })
    const found = await finishCommand(['migrate'], {
      ...env,
      NODE_EXTRA_CA_CERTS: certificate.file,
    })
    expect(found).toMatchObject({ code: 0, stdout: 'the database is up to date\n' })
  })
})

test(
  'a server without TLS is refused where DATABASE_URL requires it',
  refuses('PostgreSQL', '`sslmode=require` on a server without TLS', 'exit code 2'),
  async () => {
    const database = await createTestDatabase()
    closers.push(database.drop)
    const env = { DATABASE_URL: `${database.url}?sslmode=verify-full` }
    await expectRefused(['api'], env, /PostgreSQL does not support TLS: .* or remove sslmode/)
  },
)

describe('Redis with TLS', () => {
  let redis: TestRedis
  beforeAll(async () => {
    const started = await startRedis({ own: true })
    if ('skip' in started) throw new Error(started.skip)
    redis = started
  })
  afterAll(() => redis?.stop())

  const openFront = async (presented: typeof certificate | 'plain') => {
    const front = await openTlsFront(redis.url, presented)
    closers.push(front.close)
    return front.url.replace('https:', 'rediss:')
  }
  const openDatabase = async () => {
    const database = await createTestDatabase()
    closers.push(database.drop)
    return database.url
  }

  test.each(['start', 'worker'])(
    '%s refuses an untrusted certificate',
    refuses(
      'Redis and Valkey',
      'an untrusted certificate',
      'exit code 2, with the code of Node and `NODE_EXTRA_CA_CERTS`',
    ),
    async (command) => {
      const env = { DATABASE_URL: await openDatabase(), REDIS_URL: await openFront(certificate) }
      await expectRefused(
        [command],
        { ...env, LOG_LEVEL: 'silent' },
        /TLS certificate verification failed for Redis \(DEPTH_ZERO_SELF_SIGNED_CERT\): set NODE_EXTRA_CA_CERTS/,
      )
    },
  )

  test('doctor names the code and the remedy', async () => {
    const env = { DATABASE_URL: await openDatabase(), REDIS_URL: await openFront(certificate) }
    expect(await runDoctor(env, 'queue')).toMatchObject({
      status: 'failure',
      message: expect.stringMatching(/DEPTH_ZERO_SELF_SIGNED_CERT.*NODE_EXTRA_CA_CERTS/),
    })
  })

  test('NODE_EXTRA_CA_CERTS suffices', async () => {
    const env = { DATABASE_URL: await openDatabase(), REDIS_URL: await openFront(certificate) }
    const found = await finishCommand(['doctor', '--json'], {
      ...environment(env),
      NODE_EXTRA_CA_CERTS: certificate.file,
    })
    const { checks } = JSON.parse(found.stdout) as { checks: { name: string; status: string }[] }
    expect(checks.find(({ name }) => name === 'queue')).toMatchObject({ status: 'ok' })
  })
})
