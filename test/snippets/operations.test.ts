import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { loadConfig } from '../../src/config/config.js'
import { readExample } from '../_support/documents.js'
import { runShell } from '../_support/run-shell.js'

// Runs the commands of a document in a copy of the directory `deploy`. Docker, systemd and Kubernetes do not run: only
// the calls of their programs are recorded.

const DOCUMENT = 'docs/operations.md'
const SETTINGS = { AUTH0_DOMAIN: 'tenant.example', AUTH0_CLIENT_ID: 'id' }

let cwd: string
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'operations-'))
  await cp('deploy', join(cwd, 'deploy'), { recursive: true })
})
afterEach(() => rm(cwd, { recursive: true }))

describe('the commands for Docker', () => {
  test('the commands create secrets that the configuration accepts, in a directory that only its owner can enter', async () => {
    await runShell(await readExample(DOCUMENT, 'Docker', 'sh', 1), { cwd, input: 'a-secret\n' })
    const secrets = join(cwd, 'deploy/secrets')
    expect(await readPermissions(secrets)).toBe(0o700)
    const files = await readdir(secrets)
    // The user in the container is not the owner of the files, and must be able to read them.
    for (const file of files) expect(await readPermissions(join(secrets, file))).toBe(0o444)
    const compose = parse(await readFile('deploy/docker-compose.yml', 'utf8'))
    expect(files.sort()).toEqual(Object.keys(compose.secrets).sort())
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

  test('the commands write settings, and their calls of docker name existing files and services of Compose', async () => {
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
      // A call is `docker compose --file <file> …` or `docker compose --file <file> exec <service> …`.
      const [, file = '', service] = /--file (\S+)(?: exec (\S+))?/.exec(call) ?? []
      await stat(join(cwd, file))
      if (service !== undefined) expect(Object.keys(services)).toContain(service)
    }
  })
})

describe('the commands for systemd', () => {
  /** Reads an example of the section. Replaces `/etc/` by a directory in `cwd`. */
  const readCommands = async (index: number) =>
    (await readExample(DOCUMENT, 'systemd', 'sh', index)).replaceAll('/etc/', `${cwd}/etc/`)

  test('the commands create a directory that only its owner can enter, and install every unit that they name', async () => {
    await mkdir(join(cwd, 'etc/systemd/system'), { recursive: true })
    await runShell(await readCommands(1), { cwd })
    expect(await readPermissions(join(cwd, 'etc/last-logout'))).toBe(0o700)
    const calls = await runShell(await readCommands(2), {
      cwd,
      recordedPrograms: ['systemctl', 'journalctl'],
    })
    const installedFiles = await readdir(join(cwd, 'etc/systemd/system'))
    const namedUnits = calls.flatMap((call) => call.match(/last-logout[\w-]+/g) ?? [])
    expect(namedUnits).toHaveLength(3)
    for (const unit of namedUnits) expect(installedFiles).toContain(`${unit}.service`)
  })

  test('the commands run last-logout with the variables of the settings and of the secrets', async () => {
    const directory = join(cwd, 'etc/last-logout')
    await mkdir(directory, { recursive: true })
    await writeFile(join(directory, 'environment'), 'AUTH0_DOMAIN=tenant.example\n')
    // `env` replaces the program: it prints the variables that the program would get.
    const code = (await readCommands(3)).replace('last-logout doctor', 'env > printed-variables')
    await runShell(code, { cwd })
    const environment = await readFile(join(cwd, 'printed-variables'), 'utf8')
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
  const objects = (await Promise.all(files.map(readKubernetesObjects))).flat()
  const objectNames = objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`)
  const namesInCalls = calls.flatMap((call) => [
    // `job <name>` or `job/<name>`
    ...[...call.matchAll(/\bjob[ /](\S+)/g)].map(([, name]) => `Job ${name}`),
    ...[...call.matchAll(/\bexec deploy\/(\S+)/g)].map(([, name]) => `Deployment ${name}`),
  ])
  expect(namesInCalls).toHaveLength(3)
  expect(objectNames).toEqual(expect.arrayContaining(namesInCalls))
})

/** Returns the permissions of a file or a directory, such as 0o700. */
async function readPermissions(path: string): Promise<number> {
  return (await stat(path)).mode & 0o777
}

/** Reads the objects of Kubernetes in a file. Its path is relative to `cwd`. */
async function readKubernetesObjects(
  file: string,
): Promise<{ kind: string; metadata: { name: string } }[]> {
  const documents = parseAllDocuments(await readFile(join(cwd, file), 'utf8'))
  return documents.map((document) => document.toJS()).filter((object) => object !== null)
}
