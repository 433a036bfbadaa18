import { execFile } from 'node:child_process'
import {
  chmod,
  copyFile,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { DockerfileParser } from 'dockerfile-ast'
import { validate } from 'dockerfile-utils'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildEntry } from '../../src/simulator/entries.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { readExample } from '../_support/documents.js'
import { findUnusedPort } from '../_support/port.js'
import { KEY, METRICS_KEY } from '../_support/served-api.js'
import { openTenant, type TestTenant, tenantEnv } from '../_support/tenant.js'
import { WAIT } from '../_support/wait.js'
import { type Container, runContainer, startContainer, TRUST } from './container.js'
import { buildImage, type Image, listContext } from './dockerfile.js'

const run = promisify(execFile)

/** The packages of the build are installed. */
const BUILD_TIMEOUT_MS = 200_000

const text = await readFile('Dockerfile', 'utf8')

/** The command of the document that builds the image. Its last argument is the directory that `COPY` copies from. */
const buildCommand = await readExample('docs/operations.md', 'Docker', 'sh')
const context = buildCommand.trim().split(' ').at(-1) ?? ''

test('the command in docs/operations.md builds the Dockerfile, and tags the image that the examples name', async () => {
  expect(buildCommand).toBe(`docker build --tag last-logout ${context}\n`)
  expect(await readFile(join(context, 'Dockerfile'), 'utf8')).toBe(text)
  const examples = ['deploy/docker-compose.yml', 'deploy/kubernetes/api.yaml']
  for (const example of examples) {
    const [, image] =
      /^ *image: (?:\$\{LAST_LOGOUT_IMAGE:-)?([\w-]+)\}?$/m.exec(await readFile(example, 'utf8')) ??
      []
    expect(image, example).toBe('last-logout')
  }
})

describe('the Dockerfile', () => {
  const instructions = DockerfileParser.parse(text).getInstructions()
  const all = (keyword: string) =>
    instructions
      .filter((instruction) => instruction.getKeyword() === keyword)
      .map((instruction) => instruction.getArgumentsContent() ?? '')

  test('the parser finds no problem in the Dockerfile', () => {
    expect(validate(text).map(({ message }) => message)).toEqual([])
  })

  test('the Dockerfile pins its base by a tag, and begins every stage with it', () => {
    const [base] = all('ARG')
    expect(base).toMatch(/^NODE_IMAGE=node:\d+-\w+-slim$/)
    for (const from of all('FROM')) expect(from).toMatch(/^\$\{NODE_IMAGE\}/)
  })

  test('the user of the image is not root, and the health check runs the program', () => {
    expect(all('USER')).toEqual([expect.stringMatching(/^[1-9]\d*:[1-9]\d*$/)])
    expect(all('HEALTHCHECK')).toEqual([expect.stringContaining('["last-logout", "healthcheck"]')])
  })

  test('the Dockerfile downloads nothing but packages, and sets no secret', () => {
    expect(all('ADD')).toEqual([])
    expect(all('RUN').join()).not.toMatch(/curl|wget|apt/)
    expect(all('ENV').join()).not.toMatch(/SECRET|KEY|TOKEN|_URL/)
  })
})

test('.dockerignore leaves out secrets, data, and what the build does not need', async () => {
  const files = await listContext('.')
  expect(files).toContain('src/main.ts')
  expect(files).toContain('package-lock.json')
  const sources = /^(src|prisma|scripts)\//
  const settings = /^(\.npmrc|LICENSE|package(-lock)?\.json|tsconfig\.json|prisma\.config\.ts)$/
  expect(files.filter((file) => !sources.test(file) && !settings.test(file))).toEqual([])
  expect(files.filter((file) => /generated|\.test\.ts/.test(file))).toEqual([])
})

test('.dockerignore leaves out secrets in every directory', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'last-logout-context-'))
  try {
    await copyFile('.dockerignore', join(directory, '.dockerignore'))
    for (const name of ['src/main.ts', '.env', 'src/.env', 'deploy/secrets/api_keys', 'data/PG']) {
      await mkdir(dirname(join(directory, name)), { recursive: true })
      await writeFile(join(directory, name), '')
    }
    expect(await listContext(directory)).toEqual(['src/main.ts'])
  } finally {
    await rm(directory, { recursive: true })
  }
})

describe('the image, built and run without an engine', () => {
  let directory: string
  let image: Image
  let database: TestDatabase
  let t: TestTenant
  let env: Record<string, string>
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'last-logout-image-'))
    // The user of the image must be able to enter the directory.
    await chmod(directory, 0o755)
    ;[image, database, t] = await Promise.all([
      buildImage(text, {
        context,
        directory,
        node: await findNode(directory),
        buildEnv: await readNpmSettings(),
      }),
      createTestDatabase('template0'),
      openTenant(),
    ])
    env = await writeSecrets()
  }, BUILD_TIMEOUT_MS)
  afterAll(async () => {
    await t?.close()
    await database?.drop()
    await rm(directory, { recursive: true, force: true })
  })

  /** Writes the secrets to files, as Docker does, and returns the other variables. */
  async function writeSecrets(): Promise<Record<string, string>> {
    const { AUTH0_CLIENT_SECRET = '', ...others } = tenantEnv(t.simulator)
    const secrets = {
      AUTH0_CLIENT_SECRET,
      DATABASE_URL: database.url,
      API_KEYS: `caller:${KEY}:read,prometheus:${METRICS_KEY}:metrics`,
    }
    for (const [name, value] of Object.entries(secrets)) {
      await writeFile(join(image.root.path, 'run/secrets', name), `${value}\n`, { mode: 0o444 })
    }
    const files = Object.keys(secrets).map((name) => [`${name}_FILE`, `/run/secrets/${name}`])
    return { ...others, ...Object.fromEntries(files), POLL_INTERVAL: '200ms' }
  }

  /** A container of the image, as `docker run --read-only` starts it. */
  const command = (args: string[], overrides: Record<string, string> = {}) => ({
    args: [...image.entrypoint, ...args],
    env: { ...image.env, ...env, HOST: '127.0.0.1', ...overrides },
    workdir: image.workdir,
    ...(image.user !== undefined && { user: image.user }),
    isReadOnly: true,
  })

  async function stop(container: Container): Promise<void> {
    container.kill('SIGTERM')
    expect(await container.exited, container.output()).toBe(0)
    expect(container.output()).toContain('"stopped"')
  }

  test('the user of the image cannot change the program, and the packages for development are missing', async () => {
    const app = join(image.root.path, image.workdir)
    const [uid] = (image.user ?? '').split(':').map(Number)
    const names = await readdir(app, { recursive: true })
    expect(names.filter((name) => /(^|\/)vitest(\/|$)/.test(name))).toEqual([])
    for (const name of names) {
      const { uid: owner, mode } = await lstat(join(app, name))
      if (owner === uid || (mode & 0o002 && (mode & 0o170000) !== 0o120000)) {
        expect.fail(`the user of the image can change ${name}`)
      }
    }
  })

  test('the image migrates the database', async () => {
    expect(await runContainer(image.root, command(['migrate']))).toMatch(
      /applied [\s\S]*the database is up to date\n$/,
    )
  })

  test('the image starts, reads the log and stops as PID 1, with a read-only file system', async () => {
    const PORT = await findUnusedPort()
    const container = await startContainer(image.root, command(image.cmd, { PORT }))
    await expect.poll(container.output, WAIT).toContain('"polling"')
    const { output } = await container.exec([
      'grep',
      '-E',
      '^(Uid|NoNewPrivs|CapBnd)',
      '/proc/1/status',
    ])
    expect(output.split(/\s+/)).toEqual(
      expect.arrayContaining(['1000', 'CapBnd:', '0000000000000000', 'NoNewPrivs:', '1']),
    )
    for (const path of ['/app/x', '/tmp/x', '/x']) {
      expect((await container.exec(['touch', path])).output).toContain('Read-only file system')
    }
    t.tenant.write(buildEntry('slo', { userId: 'auth0|1' }), { dateMs: Date.now() - 5_000 })
    await expect
      .poll(async () => {
        const response = await fetch(`http://127.0.0.1:${PORT}/v1/last-logout?user_id=auth0%7C1`, {
          headers: { authorization: `Bearer ${KEY}` },
        })
        return ((await response.json()) as { last_logout_at: string | null }).last_logout_at
      }, WAIT)
      .not.toBe(null)
    for (const path of ['console', 'console/console.js', 'console/uplot.js']) {
      const { status } = await fetch(`http://127.0.0.1:${PORT}/${path}`)
      expect({ path, status }).toEqual({ path, status: 200 })
    }
    await stop(container)
  })

  test.each(['api', 'worker'])('%s passes the health check of the image', async (part) => {
    const PORT = await findUnusedPort()
    const container = await startContainer(image.root, command([part], { PORT, WORKER_PORT: PORT }))
    await expect.poll(container.output, WAIT).toContain('"url"')
    expect(await container.exec(image.healthcheck)).toEqual({
      code: 0,
      output: `http://127.0.0.1:${PORT}/health/live returned 200\n`,
    })
    await stop(container)
  })

  test('the health check fails if nothing listens', async () => {
    const check = startContainer(image.root, command(image.healthcheck.slice(1), { PORT: '1' }))
    expect(await (await check).exited).toBe(1)
  })

  test('messages name the command as it is on the PATH of the image', async () => {
    const container = await startContainer(image.root, command(['unknown']))
    expect(await container.exited).toBe(2)
    expect(container.output()).toContain('see `last-logout --help`')
  })
})

/** Copies Node.js of the version in the base image, as npm distributes it, to where every user can run it. */
async function findNode(directory: string): Promise<string> {
  const [, major = ''] = /NODE_IMAGE=node:(\d+)/.exec(text) ?? []
  const { stdout } = await run('npx', ['--yes', `node@${major}`, '--print', 'process.execPath'])
  const node = join(directory, 'node')
  await run('cp', ['--dereference', stdout.trim(), node])
  return node
}

/** The settings with which npm reaches a registry from this machine. A build gets only these settings. */
async function readNpmSettings(): Promise<Record<string, string>> {
  const { stdout } = await run('npm', ['config', 'get', 'registry'])
  return { ...TRUST, npm_config_registry: stdout.trim() }
}
