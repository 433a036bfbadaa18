import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

const FILE = 'dist/login-action.cjs'

/** Builds the Action as it is shipped; returns its text. */
export async function buildAction(): Promise<string> {
  await promisify(execFile)('npm', ['run', '--silent', 'build:action'])
  return readFile(FILE, 'utf8')
}
