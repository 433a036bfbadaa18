import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { loadConfig } from '../../src/config/config.js'
import { readExample } from '../_support/documents.js'
import { runShell } from '../_support/run-shell.js'

const DOCUMENT = 'docs/operations.md'
const SETTINGS = { AUTH0_DOMAIN: 'tenant.example', AUTH0_CLIENT_ID: 'id' }

let cwd: string
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'operations-'))
  await cp('deploy', join(cwd, 'deploy'), { recursive: true })
})
afterEach(() => rm(cwd, { recursive: true }))

describe('Docker', () => {
  test('the commands create secrets that the configuration accepts, and that only their directory protects', async () => {
    await runShell(await readExample(DOCUMENT, 'Docker', 'sh', 1), { cwd, input: 'a-secret\n' })
    const secrets = join(cwd, 'deploy/secrets')
    expect((await stat(secrets)).mode & 0o777).toBe(0o700)
    const files = await readdir(secrets)
    for (const file of files) expect((await stat(join(secrets, file))).mode & 0o777).toBe(0o444)
    const { secrets: ofCompose } = parse(await readFile('deploy/docker-compose.yml', 'utf8'))
    expect(files.sort()).toEqual(Object.keys(ofCompose).sort())
    const { http, database } = loadConfig(
      {
        ...SETTINGS,
        AUTH0_CLIENT_SECRET_FILE: join(secrets, 'auth0_client_secret'),
        API_KEYS_FILE: join(secrets, 'api_keys'),
        DATABASE_URL_FILE: join(secrets, 'database_url'),
      },
      ['auth0', 'api', 'database'],
    )
    expect(http.apiKeys.map(({ name, roles }) => [name, roles])).toEqual([
      ['orders-api', ['read', 'check', 'feed']],
      ['prometheus', ['metrics']],
      ['operator', ['read', 'metrics']],
    ])
    expect(database.url).toMatch(/^postgresql:\/\/last_logout:\w{48}@postgres:5432\/last_logout/)
  })

  test('the commands write settings, and name the file and a service of Compose', async () => {
    await mkdir(join(cwd, 'deploy/secrets'))
    const calls = await runShell(await readExample(DOCUMENT, 'Docker', 'sh', 2), {
      cwd: join(cwd, 'deploy/secrets'),
      recordedPrograms: ['docker'],
    })
    expect(await readFile(join(cwd, 'deploy/.env'), 'utf8')).toMatch(
      /^AUTH0_DOMAIN=\S+\nAUTH0_CLIENT_ID=\S+\n$/,
    )
    const { services } = parse(await readFile('deploy/docker-compose.yml', 'utf8'))
    expect(calls).toHaveLength(2)
    for (const call of calls) {
      const [, file = '', service] = /--file (\S+)(?: exec (\S+))?/.exec(call) ?? []
      await stat(join(cwd, file))
      if (service !== undefined) expect(Object.keys(services)).toContain(service)
    }
  })
})

describe('systemd', () => {
  const readFor = async (index: number) =>
    (await readExample(DOCUMENT, 'systemd', 'sh', index)).replaceAll('/etc/', `${cwd}/etc/`)

  test('the commands create a directory that only its owner can enter, and install units that exist', async () => {
    await mkdir(join(cwd, 'etc/systemd/system'), { recursive: true })
    await runShell(await readFor(1), { cwd })
    expect((await stat(join(cwd, 'etc/last-logout'))).mode & 0o777).toBe(0o700)
    const calls = await runShell(await readFor(2), {
      cwd,
      recordedPrograms: ['systemctl', 'journalctl'],
    })
    const units = await readdir(join(cwd, 'etc/systemd/system'))
    const named = calls.flatMap((call) => call.match(/last-logout[\w-]+/g) ?? [])
    expect(named).toHaveLength(3)
    for (const unit of named) expect(units).toContain(`${unit}.service`)
  })

  test('the commands run a command with the settings and the secrets', async () => {
    const directory = join(cwd, 'etc/last-logout')
    await mkdir(directory, { recursive: true })
    await writeFile(join(directory, 'environment'), 'AUTH0_DOMAIN=tenant.example\n')
    const code = (await readFor(3)).replace('last-logout doctor', 'env > environment-of-doctor')
    await runShell(code, { cwd })
    const environment = await readFile(join(cwd, 'environment-of-doctor'), 'utf8')
    for (const name of ['AUTH0_CLIENT_SECRET', 'DATABASE_URL', 'API_KEYS']) {
      expect(environment).toContain(`${name}_FILE=${directory}/${name.toLowerCase()}\n`)
    }
    expect(environment).toContain('AUTH0_DOMAIN=tenant.example\n')
  })
})

test('the commands for Kubernetes name files, a job and deployments of deploy/kubernetes', async () => {
  const recordedPrograms = ['kubectl']
  const calls = await runShell(await readExample(DOCUMENT, 'Kubernetes', 'sh'), {
    cwd,
    recordedPrograms,
  })
  const files = calls.flatMap((call) =>
    [...call.matchAll(/-f (\S+)/g)].map(([, file = '']) => file),
  )
  const objects = await Promise.all(
    files.map(async (file) => {
      const documents = parseAllDocuments(await readFile(join(cwd, file), 'utf8'))
      return documents.map((each) => each.toJS()).filter((each) => each !== null)
    }),
  )
  const names = objects.flat().map(({ kind, metadata }) => `${kind} ${metadata.name}`)
  const named = calls.flatMap((call) => [
    ...[...call.matchAll(/\bjob[ /](\S+)/g)].map(([, name]) => `Job ${name}`),
    ...[...call.matchAll(/\bexec deploy\/(\S+)/g)].map(([, name]) => `Deployment ${name}`),
  ])
  expect(named).toHaveLength(3)
  expect(names).toEqual(expect.arrayContaining(named))
})
