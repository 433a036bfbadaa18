import { execFile } from 'node:child_process'
import { symlink, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, inject, test } from 'vitest'
import { finishCommand, runCommand } from '../_support/cli.js'
import { readExample } from '../_support/documents.js'
import { findNode, NODE_RELEASES } from '../_support/node-releases.js'

const README = 'src/simulator/README.md'
const run = promisify(execFile)

/** The directory in which all packages are installed. */
const dir = inject('packagesDir')
const script = join(dir, 'node_modules/.bin/last-logout-simulator')
const WAIT = { timeout: 20_000, interval: 50 }

describe('the example for test runners in the README', () => {
  let example: string
  beforeAll(async () => {
    example = await readExample(README, 'With a test runner', 'js')
  })

  test('the three tests of the example pass with Vitest', async () => {
    await symlink(join(process.cwd(), 'node_modules/vitest'), join(dir, 'node_modules/vitest'))
    await writeFile(join(dir, 'vitest-example.test.js'), example)
    const vitest = join(process.cwd(), 'node_modules/vitest/vitest.mjs')
    const args = [vitest, 'run', '--reporter=json', 'vitest-example.test.js']
    const { stdout } = await run(process.execPath, args, { cwd: dir })
    expect(JSON.parse(stdout)).toMatchObject({ numPassedTests: 3, numTotalTests: 3 })
  }, 60_000)

  test.each(NODE_RELEASES)(
    'the three tests of the example pass with node:test on Node %i',
    async (release) => {
      const code = example
        .replace('last-logout-simulator/vitest', 'last-logout-simulator/node-test')
        .replace(
          "import { expect, test } from 'vitest'",
          "import { test } from 'node:test'\nimport { expect } from './expect.js'",
        )
      const file = `node-test-example-${release}.test.js`
      await writeFile(join(dir, file), code)
      // The matchers that the example uses.
      await writeFile(
        join(dir, 'expect.js'),
        `import assert from 'node:assert/strict'
export const expect = (value) => ({
  toBe: (expected) => assert.equal(value, expected),
  toMatchObject: ([{ type, details }]) => {
    assert.equal(value[0].type, type)
    assert.equal(value[0].details.session_id, details.session_id)
  },
})
`,
      )
      const { stdout } = await run(
        await findNode(release),
        ['--test', '--test-reporter=tap', file],
        { cwd: dir },
      )
      expect(stdout).toMatch(/^# pass 3$/m)
      expect(stdout).toMatch(/^# fail 0$/m)
    },
    60_000,
  )
})

/** Writes a module to the directory of the packages, and runs it. Returns its standard output. */
async function runModule(name: string, code: string): Promise<string> {
  await writeFile(join(dir, name), code)
  return (await run(process.execPath, [name], { cwd: dir })).stdout
}

test('the example for other test runners starts a simulator that responds, and closes the simulator', async () => {
  const example = await readExample(README, 'With a test runner', 'js', 1)
  // A request without a token, which the simulator refuses with 401.
  const request = "console.log((await fetch(simulator.url + '/api/v2/logs')).status)"
  // The example has this comment in the place of the tests. The process ends only if the simulator is closed.
  expect(example).toContain('// …')
  expect(await runModule('other-runner.mjs', example.replace('// …', request))).toBe('401\n')
})

test('the example that runs an Action prints the log of the Action, and its result has the documented properties', async () => {
  await writeFile(
    join(dir, 'my-action.js'),
    `exports.onExecutePostLogin = async (event, api) => {
      console.log(event.user.user_id)
      api.accessToken.setCustomClaim('user', event.user.user_id)
    }`,
  )
  const example = await readExample(README, 'Run an Action', 'js')
  // The example has a comment that describes the variable `run`.
  const documentedResult = /^\/\/ run: (.*)$/m.exec(example)?.[1]
  expect(documentedResult).toBe('{ accessToken: { … }, idToken: { … }, denied: null }')
  const output = await runModule('run-action.mjs', `${example}\nconsole.log(JSON.stringify(run))`)
  const lines = output.trim().split('\n')
  expect(lines[0]).toContain('auth0|1')
  expect(JSON.parse(lines.at(-1) ?? '')).toEqual({
    accessToken: { user: 'auth0|1' },
    idToken: {},
    denied: null,
  })
})

describe('the command last-logout-simulator', () => {
  test('the requests of the README make the simulator write an entry, and refuse the next three requests with 429', async () => {
    const [name, ...args] = (await readExample(README, 'As a command', 'sh')).trim().split(' ')
    expect(name).toBe(basename(script))
    // A free port instead of 4010. With interval 0, the simulator writes no entries of its own.
    args.push('--port', '0', '--interval', '0')
    const command = runCommand(args, {}, { script })
    await expect.poll(command.stdout, WAIT).toContain('AUTH0_CLIENT_SECRET')
    const env = Object.fromEntries(
      [...command.stdout().matchAll(/^(AUTH0_\w+)=(.*)$/gm)].map(([, variable = '', value]) => [
        variable,
        value,
      ]),
    )
    const url = `${env.AUTH0_BASE_URL}`
    const example = await readExample(README, 'As a command', 'sh', 1)
    const requests = example.replaceAll('http://127.0.0.1:4010', url)
    const { stdout } = await run('/bin/sh', ['-ec', requests])
    expect(JSON.parse(stdout).entry).toMatchObject({
      type: 'slo',
      user_id: 'auth0|1',
      date: '2026-11-28T10:00:00.000Z',
    })

    const grant = new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: `${env.AUTH0_CLIENT_ID}`,
      client_secret: `${env.AUTH0_CLIENT_SECRET}`,
      audience: `https://${env.AUTH0_DOMAIN}/api/v2/`,
    })
    const token = await (await fetch(`${url}/oauth/token`, { method: 'POST', body: grant })).json()
    const headers = { authorization: `Bearer ${(token as { access_token: string }).access_token}` }
    const statuses = []
    for (let requestCount = 0; requestCount < 4; requestCount++)
      statuses.push((await fetch(`${url}/api/v2/logs`, { headers })).status)
    expect(statuses).toEqual([429, 429, 429, 200])
    command.kill('SIGINT')
    expect(await command.exited).toBe(0)
    expect(command.stderr()).toBe('')
  })

  test.each([
    [['--port', 'x'], "--port is 'x': set a whole number from 0 to 65535"],
    [['--users', '0'], "--users is '0': set a whole number from 1 to 100000"],
    [['--bogus'], '--bogus'],
    [['bogus'], 'bogus'],
  ])(
    'with the arguments %j, the command exits with 2 and names the problem without a stack trace',
    async (args, problem) => {
      const result = await finishCommand(args, {}, { script })
      expect(result).toMatchObject({
        code: 2,
        stdout: '',
        stderr: expect.stringContaining(problem),
      })
      expect(result.stderr).not.toMatch(/^ {4}at /m)
    },
  )

  test('--help prints the options of the command', async () => {
    const result = await finishCommand(['--help'], {}, { script })
    expect(result).toMatchObject({ code: 0, stdout: expect.stringContaining('--interval <ms>') })
  })
})
