import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** The releases of Node.js that the packages support. */
export const NODE_RELEASES = [20, 22, 24]

/** Finds the executable of a release of Node.js, which npm installs once. */
export async function findNode(release: number): Promise<string> {
  const args = ['--yes', `node@${release}`, '-p', 'process.version + " " + process.execPath']
  const { stdout } = await promisify(execFile)('npx', args)
  const [version = '', path = ''] = stdout.trim().split(' ')
  // Without this check, a test would run the Node.js of the PATH if npm has not installed the requested release.
  if (!version.startsWith(`v${release}.`)) throw new Error(`node@${release} is ${version}`)
  return path
}
