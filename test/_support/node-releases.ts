import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** The major versions of Node.js that the packages support. */
export const NODE_RELEASES = [20, 22, 24]

/** Returns the path of Node.js in a major version. Installs this version from npm if necessary. */
export async function findNode(release: number): Promise<string> {
  const args = ['--yes', `node@${release}`, '-p', 'process.version + " " + process.execPath']
  // The package `node` downloads the program in its install script. The `.npmrc` of this repository disables scripts.
  const env = { ...process.env, npm_config_ignore_scripts: 'false' }
  const { stdout } = await promisify(execFile)('npx', args, { env })
  const [version = '', path = ''] = stdout.trim().split(' ')
  // If npm could not install the version, `npx` runs the Node.js in the PATH.
  if (!version.startsWith(`v${release}.`)) throw new Error(`node@${release} is ${version}`)
  return path
}
