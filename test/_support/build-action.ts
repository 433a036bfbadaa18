import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** Builds the login Action. Tests run the built file, as Auth0 does. */
export async function setup(): Promise<void> {
  await promisify(execFile)('npm', ['run', '--silent', 'build:action'])
}
