import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** The releases of Node.js that the packages support. */
export const NODE_RELEASES = [20, 22, 24]

/** Returns the path of a release of Node.js. Installs the release from npm if necessary. */
export async function findNode(release: number): Promise<string> {
  const args = ['--yes', `node@${release}`, '-p', 'process.version + " " + process.execPath']
  const { stdout } = await promisify(execFile)('npx', args)
  const [version = '', path = ''] = stdout.trim().split(' ')
  // If npm has not installed the release, `npx` runs the Node.js of the PATH.
  if (!version.startsWith(`v${release}.`)) throw new Error(`node@${release} is ${version}`)
  return path
}
