import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ClientProject, installClient } from '../_support/client-package.js'
import { INSTALLED_DIR } from '../_support/installed.js'

const runProgram = promisify(execFile)

/** The entries of the package: `''`, `/express` and so on. */
const ENTRIES = await readEntries()

/** The entries that import a class of their framework, which is an optional peer dependency. */
const ENTRIES_WITH_FRAMEWORK = ['hono', 'nestjs', 'trpc', 'nextjs-auth0']

let project: ClientProject
beforeAll(async () => {
  project = await installClient()
}, 120_000)
afterAll(() => project.remove())

describe('the package', () => {
  test('the package has no dependency', async () => {
    const installed = await readdir(join(project.dir, 'node_modules'))
    expect(installed.filter((name) => !name.startsWith('.'))).toEqual(['last-logout-client'])
  })

  test('publint and are-the-types-wrong find no problem in the package', async () => {
    await runProgram('node_modules/.bin/publint', ['--strict', project.tarball])
    await runProgram('node_modules/.bin/attw', [project.tarball])
  }, 60_000)

  // This test runs in a folder where the frameworks are installed.
  test.each(ENTRIES)(
    'last-logout-client%s has the same exports with import and require',
    async (entry) => {
      const specifier = `last-logout-client${entry}`
      const printNames = `console.log(Object.keys(names).filter((name) => name !== 'default' && name !== 'module.exports' && name !== '__esModule').sort().join())`
      const options = { cwd: INSTALLED_DIR }
      const imported = await runProgram(
        process.execPath,
        ['--input-type=module', '-e', `const names = await import('${specifier}');${printNames}`],
        options,
      )
      const required = await runProgram(
        process.execPath,
        ['--input-type=commonjs', '-e', `const names = require('${specifier}');${printNames}`],
        options,
      )
      expect(imported.stdout).toBe(required.stdout)
      expect(imported.stdout.trim()).not.toBe('')
    },
  )

  test('every entry loads without its framework, unless the entry imports a class of the framework', async () => {
    const failingEntries = await Promise.all(
      ENTRIES.map(async (entry) => {
        const args = ['--input-type=module', '-e', `await import('last-logout-client${entry}')`]
        const isLoaded = await runProgram(process.execPath, args, { cwd: project.dir }).then(
          () => true,
          () => false,
        )
        return isLoaded ? [] : [entry.slice(1)]
      }),
    )
    expect(failingEntries.flat()).toEqual(ENTRIES_WITH_FRAMEWORK)
  })
})

async function readEntries(): Promise<string[]> {
  const { exports } = await readManifest()
  return Object.keys(exports)
    .filter((path) => path !== './package.json')
    .map((path) => path.slice(1))
}

async function readManifest() {
  return JSON.parse(await readFile('src/client/package.json', 'utf8'))
}
