import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { setup as buildAction } from './build-action.js'
import { addClient, installPackages } from './installed.js'

/**
 * Prepares the Vitest project `consumers`: builds the client package and the login Action, and installs the frameworks
 * and libraries that the tests use.
 */
export async function setup(): Promise<void> {
  await promisify(execFile)('npm', ['run', '--silent', 'build:client'])
  await buildAction()
  await installPackages()
  await addClient()
}
