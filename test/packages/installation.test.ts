import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ROOT_MANIFEST } from '../../scripts/packages/manifest.js'
import { readExample } from '../_support/documents.js'
import { runShell } from '../_support/run-shell.js'

const run = promisify(execFile)

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'last-logout-installation-'))
})
afterEach(() => rm(dir, { recursive: true }))

/** The commands of the documents that build the packages. The set-up of these tests runs the second command. */
const BUILD_COMMANDS = ['npm ci', 'npm run build:packages']

test('docs/getting-started.md builds the packages as the set-up of these tests does', async () => {
  const code = await readExample('docs/getting-started.md', '1 Build the packages', 'sh')
  expect(await runShell(code, { cwd: dir, recordedPrograms: ['npm'] })).toEqual(BUILD_COMMANDS)
  const setup = await readFile('test/_support/prepare-packages.ts', 'utf8')
  expect(setup).toContain("'npm', ['run', '--silent', 'build:packages']")
})

test('the commands for systemd install the program at the path that the unit starts', async () => {
  const code = await readExample('docs/operations.md', 'systemd', 'sh')
  const [build = '', install = ''] = code.split('\n')
  expect(await runShell(build, { cwd: dir, recordedPrograms: ['npm'] })).toEqual(BUILD_COMMANDS)
  await runShell(install.replace('/usr/local', dir), { cwd: process.cwd() })
  const unit = await readFile('deploy/systemd/last-logout-start.service', 'utf8')
  const [, program = ''] = /^ExecStart=(\S+) start$/m.exec(unit) ?? []
  expect(program).toMatch(/^\/usr\/local\//)
  const { stdout } = await run(program.replace('/usr/local', dir), ['--version'])
  expect(stdout).toContain(ROOT_MANIFEST.version)
}, 60_000)

describe.each([
  ['README.md', await readExample('README.md', 'Reject logged-out tokens', 'sh')],
  [
    'docs/resource-servers.md',
    await readExample('docs/resource-servers.md', 'Install the client', 'sh'),
  ],
])('the command in %s that installs the client', (_document, code) => {
  test('`import` and `require` load the client that the command installs', async () => {
    const cwd = join(dir, 'orders')
    await mkdir(cwd)
    await runShell(code.replace('~/last-logout', process.cwd()), { cwd })
    const printTypes = `import('last-logout-client').then((imported) =>
      console.log(typeof imported.createLastLogoutClient, typeof require('last-logout-client').createLastLogoutClient))`
    const { stdout } = await run(process.execPath, ['-e', printTypes], { cwd })
    expect(stdout).toBe('function function\n')
  })
})
