import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { SECRETS, variables } from '../../src/config/variables.js'
import { finishCommandLine } from '../_support/command-line.js'

const execFileAsync = promisify(execFile)

/** Maximum exposure level that `systemd-analyze security` may report, from 0 to 100. It calls a level below 20 "OK". */
const MAX_EXPOSURE = 15

/** The environment variables of last-logout. A variable with the suffix `_FILE` contains the path of a secret. */
const KNOWN_VARIABLES = new Set<string>([
  ...Object.keys(variables),
  ...SECRETS.map((name) => `${name}_FILE`),
])

/** Examples of settings that docker-compose.yml does not name. */
const OTHER_SETTINGS = {
  TRUST_PROXY: '10.0.0.0/8',
  EVENT_TYPES: 'scp',
  POLICY: 'user',
  LOG_LEVEL: 'warn',
}

const isUnknownVariable = (name: string) => !KNOWN_VARIABLES.has(name)

/** Expects that the arguments are a command of last-logout. For an unknown command, the help is that of all commands. */
async function expectCommand(args: string[]): Promise<void> {
  const { stdout } = await finishCommandLine([...args, '--help'])
  expect(stdout).toMatch(new RegExp(`^Usage: .* ${args.join(' ')} `))
}

describe('deploy/docker-compose.yml', () => {
  /** The fields of a service of Compose that these tests read. */
  interface Service {
    command?: string[]
    environment: Record<string, string>
    secrets?: (string | { source: string })[]
    read_only?: boolean
    cap_drop?: string[]
  }
  let services: Record<string, Service>
  let secrets: Record<string, { file: string }>
  beforeAll(async () => {
    const settings = { AUTH0_DOMAIN: 'tenant.example', AUTH0_CLIENT_ID: 'id', ...OTHER_SETTINGS }
    ;({ services, secrets } = parse(await resolveCompose(settings)))
  })

  /** Returns the names and the configurations of the services that run last-logout. */
  const listProgramServices = () =>
    Object.entries(services).filter(([name]) => !['postgres', 'redis'].includes(name))

  test('Compose runs one migrate, two workers, two APIs, PostgreSQL and Redis', async () => {
    expect(Object.keys(services).sort()).toEqual([
      'api-1',
      'api-2',
      'migrate',
      'postgres',
      'redis',
      'worker-1',
      'worker-2',
    ])
    for (const [name, { command = [] }] of listProgramServices()) {
      // The service `worker-1` runs the command `worker`.
      expect(command).toEqual([name.replace(/-\d$/, '')])
      await expectCommand(command)
    }
  })

  test('Compose sets only variables that exist, and passes secrets only as files', () => {
    for (const [name, { environment, secrets: usedSecrets = [] }] of listProgramServices()) {
      expect(Object.keys(environment).filter(isUnknownVariable), name).toEqual([])
      const files = Object.entries(environment).filter(([variable]) => variable.endsWith('_FILE'))
      const sources = usedSecrets.map((secret) =>
        typeof secret === 'string' ? secret : secret.source,
      )
      expect(files.map(([, path]) => path).sort(), name).toEqual(
        sources.map((source) => `/run/secrets/${source}`).sort(),
      )
      // The variable of the same name without the suffix `_FILE` would contain the secret itself.
      for (const [variable] of files)
        expect(environment).not.toHaveProperty(variable.replace(/_FILE$/, ''))
      // Only the workers read Auth0's log. The API is reachable from outside, so it must not have the secret.
      expect('AUTH0_CLIENT_SECRET_FILE' in environment, name).toBe(name.startsWith('worker'))
    }
    for (const { file } of Object.values(secrets))
      expect(resolve(file)).toMatch(/\/deploy\/secrets\//)
  })

  test('Compose passes settings of deploy/.env to last-logout, even if docker-compose.yml does not name them', () => {
    for (const [name, { environment }] of listProgramServices()) {
      expect(environment, name).toMatchObject(OTHER_SETTINGS)
    }
  })

  test('Compose gives last-logout no capabilities, and a read-only file system', () => {
    for (const [name, service] of listProgramServices()) {
      expect(service, name).toMatchObject({ read_only: true, cap_drop: ['ALL'] })
    }
  })

  test('Compose fails if a required setting is missing, and names the setting', async () => {
    await expect(resolveCompose({})).rejects.toMatchObject({
      stderr: expect.stringMatching(/AUTH0_(DOMAIN|CLIENT_ID)[\s\S]*set it in deploy\/\.env/),
    })
  })
})

describe('the units of systemd', async () => {
  const unitNames = (await readdir('deploy/systemd')).filter((name) =>
    /\.(service|timer)$/.test(name),
  )
  const services = unitNames.filter((name) => name.endsWith('.service'))
  let directory: string
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'last-logout-units-'))
    await cp('deploy/systemd', directory, { recursive: true })
    // The units run the installed program, which does not exist on this machine.
    for (const name of services) {
      const unit = await readFile(join(directory, name), 'utf8')
      await writeFile(
        join(directory, name),
        unit.replace('/usr/local/bin/last-logout', '/bin/true'),
      )
    }
  })
  afterAll(() => rm(directory, { recursive: true }))

  /** Runs `systemd-analyze`, which finds the units in `directory`. */
  const analyze = (...args: string[]) =>
    execFileAsync('systemd-analyze', ['--no-pager', ...args], {
      // The colon at the end adds the directories of the installed units.
      env: { PATH: process.env.PATH, SYSTEMD_UNIT_PATH: `${directory}:` },
    })

  test('`systemd-analyze verify` reports no problem with the units', async () => {
    const { stdout, stderr } = await analyze('verify', '--man=no', ...unitNames)
    expect(stdout + stderr).toBe('')
  })

  test('`systemd-analyze verify` reports an unknown setting', async () => {
    await writeFile(
      join(directory, 'wrong.service'),
      '[Service]\nExecStart=/bin/true\nUnknownSetting=no\n',
    )
    const { stderr } = await analyze('verify', '--man=no', 'wrong.service')
    expect(stderr).toMatch(/Unknown key (name )?'UnknownSetting'/)
  })

  test.each(services)('%s runs the command in its name, and has few privileges', async (name) => {
    const unit = await readFile(join('deploy/systemd', name), 'utf8')
    const [, command = ''] = /^ExecStart=\/usr\/local\/bin\/last-logout (\w+)$/m.exec(unit) ?? []
    expect(name).toBe(`last-logout-${command}.service`)
    await expectCommand([command])
    // With a threshold, `systemd-analyze security` fails if the exposure level is higher.
    const threshold = `--threshold=${MAX_EXPOSURE}`
    await analyze('security', '--offline=true', threshold, join(directory, name))
  })

  test('the units set only variables that exist, and set each of them to a credential that they load', async () => {
    // systemd adds this file to every unit whose name begins with `last-logout-`.
    const common = await readFile('deploy/systemd/last-logout-.service.d/common.conf', 'utf8')
    for (const name of services) {
      const text = common + (await readFile(join('deploy/systemd', name), 'utf8'))
      // `%d` is the directory of the credentials.
      const setVariables = [...text.matchAll(/^Environment=(\w+)=%d\/(\w+)$/gm)]
      expect(setVariables.map(([, variable = '']) => variable).filter(isUnknownVariable)).toEqual(
        [],
      )
      const loadedCredentials = [
        ...text.matchAll(/^LoadCredential=(\w+):\/etc\/last-logout\/(\w+)$/gm),
      ]
      expect(setVariables.map(([, , credential]) => credential)).toEqual(
        loadedCredentials.map(([, id]) => id),
      )
      for (const [, id, file] of loadedCredentials) expect(file).toBe(id)
      // Only these units read Auth0's log. `last-logout-api` must not have the secret, because it is reachable from
      // outside.
      const readsLog = /-(start|worker|sync)\./.test(name)
      expect(text.includes('AUTH0_CLIENT_SECRET_FILE'), name).toBe(readsLog)
    }
  })
})

test('deploy/crontab runs one command of last-logout, and sets only variables that exist', async () => {
  const lines = (await readFile('deploy/crontab', 'utf8')).split('\n')
  // The file ends with a newline, because cron ignores a last line without one.
  expect(lines.pop()).toBe('')
  const setVariables = lines.flatMap((line) => /^(\w+)=/.exec(line)?.[1] ?? [])
  expect(setVariables.filter((name) => name !== 'PATH').filter(isUnknownVariable)).toEqual([])
  const [job = '', ...otherJobs] = lines.filter((line) => /^[*\d]/.test(line))
  expect(otherJobs).toEqual([])
  // A job has five fields of time, the user, and the command.
  const [, user, command = ''] = /^(?:[\d*/,-]+ ){5}([\w-]+) (.*)$/.exec(job) ?? []
  expect(user).toBe('last-logout')
  // With -n, the shell checks the syntax of the command, but does not run it.
  await execFileAsync('/bin/sh', ['-n', '-c', command])
  // For cron, a % ends the command.
  expect(command).not.toContain('%')
  const [, name = ''] = / last-logout (\w+) /.exec(command) ?? []
  await expectCommand([name])
})

describe('the manifests of Kubernetes', async () => {
  // The fields of the manifests that these tests read.
  interface Container {
    args: string[]
    ports?: { name: string; containerPort: number }[]
    envFrom: { configMapRef: { name: string } }[]
    volumeMounts: { mountPath: string }[]
  }
  interface Pod {
    containers: [Container, ...Container[]]
    volumes: { projected: { sources: { secret: { name: string } }[] } }[]
  }
  interface Manifest {
    apiVersion: string
    kind: string
    metadata: { name: string }
    data?: Record<string, string>
    stringData?: Record<string, string>
    spec?: { template?: { metadata: { labels: object }; spec: Pod }; selector?: object }
  }
  const files = (await readdir('deploy/kubernetes')).filter((name) => name.endsWith('.yaml'))
  const texts = await Promise.all(
    files.map((name) => readFile(`deploy/kubernetes/${name}`, 'utf8')),
  )
  const manifests = texts.flatMap((text) =>
    // Kubernetes reads YAML 1.1, in which an unquoted `on` or `yes` is a boolean.
    parseAllDocuments(text, { version: '1.1', strict: true }).map((document): Manifest => {
      expect(document.errors).toEqual([])
      return document.toJS()
    }),
  )
  const findManifest = (kind: string, name = 'last-logout') =>
    manifests.find((manifest) => manifest.kind === kind && manifest.metadata.name === name)
  const pods = manifests.flatMap(({ spec }) => spec?.template?.spec ?? [])

  test('the manifests contain only fields of the Kubernetes API, with values of the right types', async () => {
    expect(await findTypeErrors(manifests)).toBe('')
  })

  test.each([
    // `readinessProbe` is misspelled.
    [{ args: ['api'], name: 'a', readynessProbe: {} }, '\'"readynessProbe"\' does not exist'],
    [{ args: ['api'] }, "Property 'name' is missing"],
    [{ args: 'api', name: 'a' }, "Type 'string' is not assignable to type 'string[]'"],
  ])(
    'the check of the manifests reports the error in the container %j',
    async (container, error) => {
      const pod = { apiVersion: 'v1', kind: 'Pod', spec: { containers: [container] } }
      expect(await findTypeErrors([pod])).toContain(error)
    },
  )

  test('the manifests run api, migrate and worker, with variables that exist and with one variable for the file of each secret', async () => {
    expect(pods.flatMap(({ containers }) => containers.flatMap(({ args }) => args)).sort()).toEqual(
      ['api', 'migrate', 'worker'],
    )
    for (const { containers, volumes } of pods) {
      const [{ args, envFrom, volumeMounts }, ...otherContainers] = containers
      expect(otherContainers).toEqual([])
      await expectCommand(args)
      expect(volumeMounts).toMatchObject([{ mountPath: '/run/secrets/last-logout' }])
      const settingsMaps = envFrom.map(
        ({ configMapRef: { name } }) => findManifest('ConfigMap', name)?.data,
      )
      const data: Record<string, string> = Object.assign({}, ...settingsMaps)
      expect(Object.keys(data).filter(isUnknownVariable)).toEqual([])
      const secretNames = volumes.flatMap(({ projected }) =>
        projected.sources.flatMap(({ secret: { name } }) =>
          Object.keys(findManifest('Secret', name)?.stringData ?? {}),
        ),
      )
      const files = Object.values(data).filter((value) => value.startsWith('/run/secrets/'))
      expect(files.sort()).toEqual(
        secretNames.map((secret) => `/run/secrets/last-logout/${secret}`).sort(),
      )
      // Only the worker reads Auth0's log. The API is reachable from outside, so it must not have the secret.
      expect('AUTH0_CLIENT_SECRET_FILE' in data).toBe(args[0] === 'worker')
    }
  })

  test('the Service of Kubernetes sends requests only to the API, whose container listens on port 8080', () => {
    const apiTemplate = findManifest('Deployment', 'last-logout-api')?.spec?.template
    const workerTemplate = findManifest('Deployment', 'last-logout-worker')?.spec?.template
    const selector = findManifest('Service')?.spec?.selector
    expect(apiTemplate?.metadata.labels).toEqual(selector)
    expect(workerTemplate?.metadata.labels).not.toEqual(selector)
    const [container] = apiTemplate?.spec.containers ?? []
    expect(container?.ports).toEqual([{ name: 'http', containerPort: 8080 }])
  })
})

/** Returns the configuration that Compose resolves with these settings in the file `.env`. */
async function resolveCompose(settings: Record<string, string>): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'last-logout-compose-'))
  const deployDirectory = join(directory, 'deploy')
  try {
    await mkdir(deployDirectory)
    await cp('deploy/docker-compose.yml', join(deployDirectory, 'docker-compose.yml'))
    const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`)
    await writeFile(join(deployDirectory, '.env'), lines.join(''))
    const { stdout } = await execFileAsync(
      'docker-compose',
      ['--file', join(deployDirectory, 'docker-compose.yml'), 'config'],
      { env: { PATH: process.env.PATH } },
    )
    return stdout
  } finally {
    await rm(directory, { recursive: true })
  }
}

/**
 * Checks manifests against the types of the Kubernetes API with the TypeScript compiler, which rejects unknown fields
 * in an object literal.
 *
 * @returns The errors of the compiler. Empty: there are none.
 */
async function findTypeErrors(manifests: { apiVersion: string; kind: string }[]): Promise<string> {
  // The compiler finds the types only from a directory in this repository.
  await mkdir('dist', { recursive: true })
  const directory = await mkdtemp(resolve('dist', 'manifests-'))
  try {
    const lines = manifests.map((manifest, index) => {
      const { apiVersion, kind } = manifest
      // The package has one directory per API group, such as `apps/v1`. The group without a name is `core`.
      const group = apiVersion.includes('/')
        ? apiVersion.replace(/\.k8s\.io/, '')
        : `core/${apiVersion}`
      const type = `import('kubernetes-types/${group}').${kind}`
      return `export const manifest${index}: ${type} = ${JSON.stringify(manifest)}`
    })
    const file = join(directory, 'manifests.ts')
    await writeFile(file, lines.join('\n'))
    // The options replace tsconfig.json. The empty list of types excludes all other type packages.
    const options = ['--noEmit', '--strict', '--module', 'esnext', '--moduleResolution', 'bundler']
    await execFileAsync('npx', ['tsc', ...options, '--ignoreConfig', '--types', '', file])
    return ''
  } catch (error) {
    return (error as { stdout: string }).stdout
  } finally {
    await rm(directory, { recursive: true })
  }
}
