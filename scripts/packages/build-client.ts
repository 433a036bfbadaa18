import { execFile } from 'node:child_process'
import { cp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describePackage } from './bundled-packages.js'
import { createManifest, packageDirectory, readManifest } from './manifest.js'

const runTsc = (args: string[]) => promisify(execFile)('node_modules/.bin/tsc', args)

const SOURCE = 'src/client'

/**
 * Builds the package of the client, for `import` and for `require`. The package has no dependencies.
 *
 * @param sbom The software bill of materials of this repository.
 */
export async function buildClient(sbom: string): Promise<void> {
  const directory = packageDirectory('client')
  await rm(directory, { recursive: true, force: true })
  const projectArgs = ['-p', 'tsconfig.client.json']
  const commonJsArgs = ['--module', 'commonjs', '--moduleResolution', 'bundler']
  const outputArgs = ['--verbatimModuleSyntax', 'false', '--outDir', join(directory, 'cjs')]
  await Promise.all([runTsc(projectArgs), runTsc([...projectArgs, ...commonJsArgs, ...outputArgs])])
  await writeFile(join(directory, 'cjs/package.json'), '{ "type": "commonjs" }\n')
  const manifest = createManifest('client', readManifest(join(SOURCE, 'package.json')))
  await describePackage(directory, manifest, [], sbom)
  await cp(join(SOURCE, 'README.md'), join(directory, 'README.md'))
}
