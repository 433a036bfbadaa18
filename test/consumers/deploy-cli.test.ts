import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import type { Simulator } from '../../src/simulator/server.js'
import { ACTION_SCOPES, addAction, bindOtherActions, readBindings } from '../_support/actions.js'
import { finishCommandLine } from '../_support/command-line.js'
import { readExample } from '../_support/documents.js'
import { INSTALLED_DIR } from '../_support/installed.js'
import { DOMAIN, openTenant, tenantEnv } from '../_support/tenant.js'
import { openCertificates, openTlsFront } from '../_support/tls.js'

const DEPLOY_CLI = join(INSTALLED_DIR, 'node_modules/auth0-deploy-cli/lib/index.js')
const KEY = 'a-key-of-the-action-0123456789-abcdef'
const NAME = 'last-logout'
const PLACEHOLDER = '##LAST_LOGOUT_API_KEY##'

/** Timeout of an import, which takes more than ten seconds of CPU time to compile its schema. */
const IMPORT_TIMEOUT_MS = 300_000

const example = await readExample(
  'docs/login-action.md',
  'With Terraform or the Deploy CLI',
  'yaml',
)

/** A simulated tenant, and the Deploy CLI in a directory of its own. */
interface DeployCli {
  simulator: Simulator
  /** Imports a configuration, with the output of `action print` as the code. Returns the output of the Deploy CLI. */
  import(tenantYaml: string, env: Record<string, string>): Promise<string>
  /** Exports the tenant. Returns the configuration. */
  export(): Promise<string>
  close(): Promise<void>
}

async function openDeployCli(): Promise<DeployCli> {
  const { simulator, close } = await openTenant({}, { scopes: ACTION_SCOPES })
  const certificates = await openCertificates()
  const certificate = await certificates.create('IP:127.0.0.1')
  const front = await openTlsFront(simulator.url, certificate)
  const cwd = await mkdtemp(join(tmpdir(), 'last-logout-deploy-cli-'))
  const file = join(cwd, 'tenant.yaml')
  async function run(args: string[], env: Record<string, string> = {}): Promise<string> {
    const running = promisify(execFile)(process.execPath, [DEPLOY_CLI, ...args], {
      cwd,
      env: {
        PATH: process.env.PATH,
        NODE_EXTRA_CA_CERTS: certificate.file,
        AUTH0_DOMAIN: new URL(front.url).host,
        AUTH0_AUDIENCE: `https://${DOMAIN}/api/v2/`,
        AUTH0_CLIENT_ID: simulator.credentials.clientId,
        AUTH0_CLIENT_SECRET: simulator.credentials.clientSecret,
        AUTH0_INCLUDED_ONLY: '["actions","triggers"]',
        AUTH0_ALLOW_DELETE: 'false',
        ...env,
      },
    })
    const { stdout, stderr } = await running.catch((cause) => {
      throw new Error(`the Deploy CLI failed: ${cause.stdout}${cause.stderr}`, { cause })
    })
    return stdout + stderr
  }
  return {
    simulator,
    async import(tenantYaml, env) {
      const { stdout } = await finishCommandLine(['action', 'print'])
      await writeFile(join(cwd, 'login-action.js'), stdout)
      await writeFile(file, tenantYaml)
      return run(['import', '--input_file', 'tenant.yaml'], env)
    },
    async export() {
      await run(['export', '--format', 'yaml', '--output_folder', '.'])
      return readFile(file, 'utf8')
    },
    async close() {
      await Promise.all([front.close(), close(), certificates.remove()])
      await rm(cwd, { recursive: true })
    },
  }
}

/** Creates an Action with the name of the login Action, and binds it after another Action. */
function bindLoginAction(simulator: Simulator): void {
  const secrets = [
    { name: 'LAST_LOGOUT_URL', value: 'https://last-logout.example.com' },
    { name: 'LAST_LOGOUT_API_KEY', value: KEY },
  ]
  const ids = [addAction(simulator, 'other'), addAction(simulator, NAME, { secrets })]
  const bindings = ids.map((value) => ({ ref: { type: 'action_id', value } }))
  simulator.bindings.replace({ bindings })
}

const listBound = (simulator: Simulator) => readBindings(simulator).map(({ action }) => action.name)

const readStatus = (simulator: Simulator) =>
  finishCommandLine(['action', 'status'], tenantEnv(simulator))

describe('an import of the example, with the key in a variable', () => {
  let cli: DeployCli
  let output: string
  beforeAll(async () => {
    cli = await openDeployCli()
    bindOtherActions(cli.simulator, 1)
    output = await cli.import(example, { LAST_LOGOUT_API_KEY: KEY })
  }, IMPORT_TIMEOUT_MS)
  afterAll(() => cli.close())

  test('the import creates the Action with the built file and the secrets', async () => {
    const { actions } = cli.simulator
    const code = await readFile('dist/login-action.cjs', 'utf8')
    expect(actions.list().at(-1)).toMatchObject({ name: NAME, runtime: 'node22', code })
    expect(actions.secretsOf(NAME)).toEqual({
      LAST_LOGOUT_URL: 'https://last-logout.example.com',
      LAST_LOGOUT_API_KEY: KEY,
    })
    expect(output).not.toContain(KEY)
  })

  test('the import deploys and binds the Action, as `action status` reports', async () => {
    expect(await readStatus(cli.simulator)).toEqual({
      code: 0,
      stderr: '',
      stdout:
        'tenant     tenant.example\n' +
        'Action     last-logout\n' +
        'code       of this version\n' +
        'deployed   yes\n' +
        'bound      yes, at position 1 of 1\n' +
        'secrets    LAST_LOGOUT_API_KEY, LAST_LOGOUT_URL\n',
    })
  })

  test('the import unbinds the Actions that the file does not list', () => {
    expect(listBound(cli.simulator)).toEqual([NAME])
  })
})

describe('an import whose triggers lack the login Action', () => {
  let cli: DeployCli
  let output: string
  beforeAll(async () => {
    cli = await openDeployCli()
    bindLoginAction(cli.simulator)
    const { actions } = parse(example.replace(/https:.*/, "'##ADDRESS##'"))
    const triggers = { 'post-login': [{ action_name: 'other', display_name: 'other' }] }
    const AUTH0_KEYWORD_REPLACE_MAPPINGS = '{"ADDRESS":"https://mapped.example.com"}'
    const env = { AUTH0_KEYWORD_REPLACE_MAPPINGS }
    output = await cli.import(stringify({ actions, triggers }), env)
  }, IMPORT_TIMEOUT_MS)
  afterAll(() => cli.close())

  test('the import unbinds the login Action, even with AUTH0_ALLOW_DELETE=false', async () => {
    expect(listBound(cli.simulator)).toEqual(['other'])
    const { code, stdout } = await readStatus(cli.simulator)
    expect(code).toBe(1)
    expect(stdout).toMatch(/^bound +no$/m)
  })

  test('the import replaces a placeholder by its mapping, and stores a placeholder without a mapping unchanged', () => {
    expect(cli.simulator.actions.secretsOf(NAME)).toEqual({
      LAST_LOGOUT_URL: 'https://mapped.example.com',
      LAST_LOGOUT_API_KEY: PLACEHOLDER,
    })
    expect(output).not.toContain(PLACEHOLDER)
  })
})

test('an export contains the names of the secrets, but not their values', async () => {
  const cli = await openDeployCli()
  bindLoginAction(cli.simulator)
  const exported = await cli.export()
  await cli.close()
  const { actions, triggers } = parse(exported)
  const { secrets } = actions.find(({ name }: { name: string }) => name === NAME)
  expect(secrets).toEqual([{ name: 'LAST_LOGOUT_URL' }, { name: 'LAST_LOGOUT_API_KEY' }])
  expect(triggers['post-login']).toHaveLength(2)
  expect(exported).not.toContain(KEY)
})
