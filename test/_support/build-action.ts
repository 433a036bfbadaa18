import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** Builds the login Action, which tests run as it is deployed. */
export async function setup(): Promise<void> {
  await promisify(execFile)('npm', ['run', '--silent', 'build:action'])
}
