import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { setup as buildAction } from './build-action.js'
import { addClient, installPackages } from './installed.js'

/** Builds the client package and the login Action, and installs the packages of resource servers, once per project. */
export async function setup(): Promise<void> {
  await promisify(execFile)('npm', ['run', '--silent', 'build:client'])
  await buildAction()
  await installPackages()
  await addClient()
}
