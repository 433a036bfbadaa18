import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import type { Simulator } from '../../src/simulator/server.js'
import { ACTION_SCOPES, addAction, bindOtherActions, readBindings } from '../_support/actions.js'
import { finishCommandLine } from '../_support/command-line.js'
import { readExample } from '../_support/documents.js'
import { INSTALLED_DIR, requireInstalled } from '../_support/installed.js'
import { DOMAIN, openTenant, tenantEnv } from '../_support/tenant.js'
import { openCertificates, openTlsFront } from '../_support/tls.js'

const ACTION_KEY = 'a-key-of-the-action-0123456789-abcdef'
const ACTION_NAME = 'last-logout'
const KEY_PLACEHOLDER = '##LAST_LOGOUT_API_KEY##'

/** Timeout of an import, which takes more than ten seconds of CPU time to compile its schema. */
const IMPORT_TIMEOUT_MS = 300_000

const readBlock = (language: string) =>
  readExample('docs/login-action.md', 'With Terraform or the Deploy CLI', language)
const exampleYaml = await readBlock('yaml')

/** The lines that set the variable with the key and import the configuration. */
const [setKey = '', importCommand = ''] = (await readBlock('sh')).split('\n')
const EXPORT_COMMAND = 'npx auth0-deploy-cli export --format yaml --output_folder .'

/** A simulated tenant, and the Deploy CLI in a temporary directory. */
interface DeployCli {
  simulator: Simulator
  /**
   * Imports a configuration, with the output of `action print` as the code. Runs the lines of the document: by default,
   * only the one that imports. Returns the output of the Deploy CLI.
   */
  import(tenantYaml: string, lines?: string[], env?: Record<string, string>): Promise<string>
  /** Exports the tenant. Returns the configuration. */
  export(): Promise<string>
  close(): Promise<void>
}

async function openDeployCli(): Promise<DeployCli> {
  const { simulator, close } = await openTenant({}, { scopes: ACTION_SCOPES })
  const certificates = await openCertificates()
  const certificate = await certificates.create('IP:127.0.0.1')
  const tlsFront = await openTlsFront(simulator.url, certificate)
  const cwd = await mkdtemp(join(tmpdir(), 'last-logout-deploy-cli-'))
  const file = join(cwd, 'tenant.yaml')
  // `npx` runs the installed release.
  await symlink(join(INSTALLED_DIR, 'node_modules'), join(cwd, 'node_modules'))
  async function runCommands(lines: string[], env: Record<string, string> = {}): Promise<string> {
    const execution = promisify(execFile)('/bin/sh', ['-ec', lines.join('\n')], {
      cwd,
      env: {
        PATH: process.env.PATH,
        HOME: cwd,
        NODE_EXTRA_CA_CERTS: certificate.file,
        AUTH0_DOMAIN: new URL(tlsFront.url).host,
        AUTH0_AUDIENCE: `https://${DOMAIN}/api/v2/`,
        AUTH0_CLIENT_ID: simulator.credentials.clientId,
        AUTH0_CLIENT_SECRET: simulator.credentials.clientSecret,
        AUTH0_INCLUDED_ONLY: '["actions","triggers"]',
        AUTH0_ALLOW_DELETE: 'false',
        ...env,
      },
    })
    const { stdout, stderr } = await execution.catch((cause) => {
      throw new Error(`the Deploy CLI failed: ${cause.stdout}${cause.stderr}`, { cause })
    })
    return stdout + stderr
  }
  return {
    simulator,
    async import(tenantYaml, lines = [importCommand], env = {}) {
      const { stdout } = await finishCommandLine(['action', 'print'])
      await writeFile(join(cwd, 'login-action.js'), stdout)
      await writeFile(file, tenantYaml)
      return runCommands(lines, env)
    },
    async export() {
      await runCommands([EXPORT_COMMAND])
      return readFile(file, 'utf8')
    },
    async close() {
      await Promise.all([tlsFront.close(), close(), certificates.remove()])
      await rm(cwd, { recursive: true })
    },
  }
}

/** Creates an Action with the name of the login Action, and binds it after another Action. */
function bindLoginAction(simulator: Simulator): void {
  const secrets = [
    { name: 'LAST_LOGOUT_URL', value: 'https://last-logout.example.com' },
    { name: 'LAST_LOGOUT_API_KEY', value: ACTION_KEY },
  ]
  const ids = [addAction(simulator, 'other'), addAction(simulator, ACTION_NAME, { secrets })]
  const bindings = ids.map((value) => ({ ref: { type: 'action_id', value } }))
  simulator.bindings.replace({ bindings })
}

const listBoundNames = (simulator: Simulator) =>
  readBindings(simulator).map(({ action }) => action.name)

const readStatus = (simulator: Simulator) =>
  finishCommandLine(['action', 'status'], tenantEnv(simulator))

describe('an import of the example, with the key in a variable', () => {
  let cli: DeployCli
  let output: string
  beforeAll(async () => {
    cli = await openDeployCli()
    // Before the import, another Action is bound.
    bindOtherActions(cli.simulator, 1)
    output = await cli.import(exampleYaml, [setKey.replace('…', ACTION_KEY), importCommand])
  }, IMPORT_TIMEOUT_MS)
  afterAll(() => cli.close())

  test('the import creates the Action with the code of the built file and with the secrets', async () => {
    const { actions } = cli.simulator
    const code = await readFile('dist/login-action.cjs', 'utf8')
    expect(actions.list().at(-1)).toMatchObject({ name: ACTION_NAME, runtime: 'node22', code })
    expect(actions.secretsOf(ACTION_NAME)).toEqual({
      LAST_LOGOUT_URL: 'https://last-logout.example.com',
      LAST_LOGOUT_API_KEY: ACTION_KEY,
    })
    expect(output).not.toContain(ACTION_KEY)
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

  test('the Terraform configuration declares the same Action and trigger', async () => {
    const { parse: parseHcl } = requireInstalled('@cdktn/hcl2json')
    const { resource, variable } = await parseHcl('action.tf', await readBlock('hcl'))
    const [action] = resource.auth0_action.last_logout
    const [binding] = resource.auth0_trigger_action.last_logout
    const deployed = cli.simulator.actions.list().at(-1)
    expect(action).toMatchObject({ name: deployed?.name, runtime: deployed?.runtime, deploy: true })
    // biome-ignore lint/suspicious/noTemplateCurlyInString: an expression of Terraform.
    expect(action.code).toBe('${file("login-action.js")}')
    expect(action.supported_triggers).toEqual(deployed?.supported_triggers)
    expect(binding).toEqual({
      trigger: deployed?.supported_triggers[0]?.id,
      // biome-ignore lint/suspicious/noTemplateCurlyInString: an expression of Terraform.
      action_id: '${auth0_action.last_logout.id}',
    })
    expect(Object.keys(variable)).toEqual(['last_logout_api_key'])
    const secrets = action.secrets.map(({ name, value }: Record<string, string>) => [name, value])
    expect(Object.fromEntries(secrets)).toEqual({
      ...cli.simulator.actions.secretsOf(ACTION_NAME),
      // biome-ignore lint/suspicious/noTemplateCurlyInString: an expression of Terraform.
      LAST_LOGOUT_API_KEY: '${var.last_logout_api_key}',
    })
  })

  test('the import unbinds the Actions that the file does not list', () => {
    expect(listBoundNames(cli.simulator)).toEqual([ACTION_NAME])
  })
})

describe('an import whose triggers lack the login Action', () => {
  let cli: DeployCli
  let output: string
  beforeAll(async () => {
    cli = await openDeployCli()
    bindLoginAction(cli.simulator)
    // The address of the service is a placeholder, too.
    const { actions } = parse(exampleYaml.replace(/https:.*/, "'##ADDRESS##'"))
    const triggers = { 'post-login': [{ action_name: 'other', display_name: 'other' }] }
    const AUTH0_KEYWORD_REPLACE_MAPPINGS = '{"ADDRESS":"https://mapped.example.com"}'
    const env = { AUTH0_KEYWORD_REPLACE_MAPPINGS }
    output = await cli.import(stringify({ actions, triggers }), [importCommand], env)
  }, IMPORT_TIMEOUT_MS)
  afterAll(() => cli.close())

  test('the import unbinds the login Action, even with AUTH0_ALLOW_DELETE=false', async () => {
    expect(listBoundNames(cli.simulator)).toEqual(['other'])
    const { code, stdout } = await readStatus(cli.simulator)
    expect(code).toBe(1)
    expect(stdout).toMatch(/^bound +no$/m)
  })

  test('the import replaces a placeholder by its mapping, and stores a placeholder without a mapping unchanged', () => {
    expect(cli.simulator.actions.secretsOf(ACTION_NAME)).toEqual({
      LAST_LOGOUT_URL: 'https://mapped.example.com',
      LAST_LOGOUT_API_KEY: KEY_PLACEHOLDER,
    })
    expect(output).not.toContain(KEY_PLACEHOLDER)
  })
})

test('an export contains the names of the secrets, but not their values', async () => {
  const cli = await openDeployCli()
  bindLoginAction(cli.simulator)
  const exported = await cli.export()
  await cli.close()
  const { actions, triggers } = parse(exported)
  const { secrets } = actions.find(({ name }: { name: string }) => name === ACTION_NAME)
  expect(secrets).toEqual([{ name: 'LAST_LOGOUT_URL' }, { name: 'LAST_LOGOUT_API_KEY' }])
  expect(triggers['post-login']).toHaveLength(2)
  expect(exported).not.toContain(ACTION_KEY)
})
