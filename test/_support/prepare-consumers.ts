import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { setup as buildAction } from './build-action.js'
import { addClient, installPackages } from './installed.js'

/** Builds the client's package and the login Action, and installs what resource servers use, once for all files of the project. */
export async function setup(): Promise<void> {
  await promisify(execFile)('npm', ['run', '--silent', 'build:client'])
  await buildAction()
  await installPackages()
  await addClient()
}
