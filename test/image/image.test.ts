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
import { findNode } from '../_support/node-releases.js'
import { findUnusedPort } from '../_support/port.js'
import { KEY, METRICS_KEY } from '../_support/served-api.js'
import { openTenant, type TestTenant, tenantEnv } from '../_support/tenant.js'
import { WAIT } from '../_support/wait.js'
import { CA_ENV, type Container, runContainer, startContainer } from './container.js'
import { buildImage, type Image, listContext } from './dockerfile.js'

const run = promisify(execFile)

/** The build installs packages from npm's registry. */
const BUILD_TIMEOUT_MS = 200_000

const dockerfile = await readFile('Dockerfile', 'utf8')

/**
 * The command in docs/operations.md that builds the image. Its last argument is the build context: the directory that
 * `COPY` copies from.
 */
const buildCommand = await readExample('docs/operations.md', 'Docker', 'sh')
const context = buildCommand.trim().split(' ').at(-1) ?? ''

test('the command in docs/operations.md builds the Dockerfile, and tags the image that the examples name', async () => {
  expect(buildCommand).toBe(`docker build --tag last-logout ${context}\n`)
  expect(await readFile(join(context, 'Dockerfile'), 'utf8')).toBe(dockerfile)
  const examples = ['deploy/docker-compose.yml', 'deploy/kubernetes/api.yaml']
  for (const example of examples) {
    // In the Compose file, the name of the image is the default of a variable.
    const [, image] =
      /^ *image: (?:\$\{LAST_LOGOUT_IMAGE:-)?([\w-]+)\}?$/m.exec(await readFile(example, 'utf8')) ??
      []
    expect(image, example).toBe('last-logout')
  }
})

describe('the Dockerfile', () => {
  const instructions = DockerfileParser.parse(dockerfile).getInstructions()
  /** Returns the arguments of all instructions with a keyword, such as `RUN`. */
  const argumentsOf = (keyword: string) =>
    instructions
      .filter((instruction) => instruction.getKeyword() === keyword)
      .map((instruction) => instruction.getArgumentsContent() ?? '')

  test('the parser finds no problem in the Dockerfile', () => {
    expect(validate(dockerfile).map(({ message }) => message)).toEqual([])
  })

  test('the Dockerfile pins its base image by a tag, and begins every stage with this image', () => {
    const [base] = argumentsOf('ARG')
    expect(base).toMatch(/^NODE_IMAGE=node:\d+-\w+-slim$/)
    for (const from of argumentsOf('FROM')) expect(from).toMatch(/^\$\{NODE_IMAGE\}/)
  })

  test('the user of the image is not root, and the health check runs the program', () => {
    expect(argumentsOf('USER')).toEqual([expect.stringMatching(/^[1-9]\d*:[1-9]\d*$/)])
    expect(argumentsOf('HEALTHCHECK')).toEqual([
      expect.stringContaining('["last-logout", "healthcheck"]'),
    ])
  })

  test('the Dockerfile downloads only npm packages, and sets no secret', () => {
    expect(argumentsOf('ADD')).toEqual([])
    expect(argumentsOf('RUN').join()).not.toMatch(/curl|wget|apt/)
    expect(argumentsOf('ENV').join()).not.toMatch(/SECRET|KEY|TOKEN|_URL/)
  })
})

test('.dockerignore excludes all files that the build does not need', async () => {
  const files = await listContext('.')
  expect(files).toContain('src/main.ts')
  expect(files).toContain('package-lock.json')
  const sources = /^(src|prisma|scripts)\//
  const settings = /^(\.npmrc|LICENSE|package(-lock)?\.json|tsconfig\.json|prisma\.config\.ts)$/
  expect(files.filter((file) => !sources.test(file) && !settings.test(file))).toEqual([])
  expect(files.filter((file) => /generated|\.test\.ts/.test(file))).toEqual([])
})

test('.dockerignore excludes secrets and data in every directory', async () => {
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

describe('the image, built and run without a container engine', () => {
  let directory: string
  let image: Image
  let database: TestDatabase
  let auth0: TestTenant
  let env: Record<string, string>
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'last-logout-image-'))
    // The user of the image must be able to enter the directory.
    await chmod(directory, 0o755)
    ;[image, database, auth0] = await Promise.all([
      buildImage(dockerfile, {
        context,
        directory,
        node: await installNode(directory),
        buildEnv: await readNpmSettings(),
      }),
      // An empty database, which the image migrates.
      createTestDatabase('template0'),
      openTenant(),
    ])
    env = await writeSecrets()
  }, BUILD_TIMEOUT_MS)
  afterAll(async () => {
    await auth0?.close()
    await database?.drop()
    await rm(directory, { recursive: true, force: true })
  })

  /** Writes each secret to a file in `/run/secrets`, as Docker does. Returns all other variables. */
  async function writeSecrets(): Promise<Record<string, string>> {
    const { AUTH0_CLIENT_SECRET = '', ...others } = tenantEnv(auth0.simulator)
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

  /** Returns the command of a container with these arguments, as in `docker run --read-only`. */
  const toCommand = (args: string[], overrides: Record<string, string> = {}) => ({
    args: [...image.entrypoint, ...args],
    env: { ...image.env, ...env, HOST: '127.0.0.1', ...overrides },
    workdir: image.workdir,
    ...(image.user !== undefined && { user: image.user }),
    isReadOnly: true,
  })

  /** Stops a container with SIGTERM, and expects that it shuts down gracefully. */
  async function stop(container: Container): Promise<void> {
    container.kill('SIGTERM')
    expect(await container.exited, container.output()).toBe(0)
    expect(container.output()).toContain('"stopped"')
  }

  test('the user of the image cannot change the program, and the packages for development are missing', async () => {
    const app = join(image.root.path, image.workdir)
    const [uid] = (image.user ?? '').split(':').map(Number)
    const names = await readdir(app, { recursive: true })
    expect(names.filter((name) => name.split('/').includes('vitest'))).toEqual([])
    for (const name of names) {
      const stats = await lstat(join(app, name))
      // The mode of a symbolic link has no effect.
      const isWritableByAll = !stats.isSymbolicLink() && (stats.mode & 0o002) !== 0
      if (stats.uid === uid || isWritableByAll) {
        expect.fail(`the user of the image can change ${name}`)
      }
    }
  })

  test('the image migrates the database', async () => {
    expect(await runContainer(image.root, toCommand(['migrate']))).toMatch(
      /applied [\s\S]*the database is up to date\n$/,
    )
  })

  test('the image runs `start` as PID 1 without privileges, with a read-only file system, and stops after SIGTERM', async () => {
    const PORT = await findUnusedPort()
    const container = await startContainer(image.root, toCommand(image.cmd, { PORT }))
    await expect.poll(container.output, WAIT).toContain('"polling"')
    const { output: processStatus } = await container.exec(['cat', '/proc/1/status'])
    expect(processStatus).toMatch(/^Uid:\t1000\t/m)
    expect(processStatus).toMatch(/^NoNewPrivs:\t1$/m)
    // The set of capabilities that the process can gain is empty.
    expect(processStatus).toMatch(/^CapBnd:\t0{16}$/m)
    for (const path of ['/app/x', '/tmp/x', '/x']) {
      expect((await container.exec(['touch', path])).output).toContain('Read-only file system')
    }
    auth0.tenant.write(buildEntry('slo', { userId: 'auth0|1' }), { dateMs: Date.now() - 5_000 })
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

  test.each(['api', 'worker'])('%s passes the health check of the image', async (name) => {
    const PORT = await findUnusedPort()
    const container = await startContainer(
      image.root,
      toCommand([name], { PORT, WORKER_PORT: PORT }),
    )
    // The log line that contains the URL is written when the server listens.
    await expect.poll(container.output, WAIT).toContain('"url"')
    expect(await container.exec(image.healthcheck)).toEqual({
      code: 0,
      output: `http://127.0.0.1:${PORT}/health/live returned 200\n`,
    })
    await stop(container)
  })

  test('the health check of the image fails if no server listens', async () => {
    // The entrypoint of the image is the first word of the health check.
    const args = image.healthcheck.slice(image.entrypoint.length)
    const container = await startContainer(image.root, toCommand(args, { PORT: '1' }))
    expect(await container.exited).toBe(1)
  })

  test('the error for an unknown command names the program as it is called in the image', async () => {
    const container = await startContainer(image.root, toCommand(['unknown']))
    expect(await container.exited).toBe(2)
    expect(container.output()).toContain('see `last-logout --help`')
  })
})

/** Copies Node.js in the major version of the base image to a directory. Returns the path of the copy. */
async function installNode(directory: string): Promise<string> {
  const [, major] = /NODE_IMAGE=node:(\d+)/.exec(dockerfile) ?? []
  const copy = join(directory, 'node')
  await copyFile(await findNode(Number(major)), copy)
  return copy
}

/** Returns the variables with which npm in a build step uses the same registry as npm on this machine. */
async function readNpmSettings(): Promise<Record<string, string>> {
  const { stdout } = await run('npm', ['config', 'get', 'registry'])
  return { ...CA_ENV, npm_config_registry: stdout.trim() }
}
