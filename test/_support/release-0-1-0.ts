import { readFile } from 'node:fs/promises'

/** The exports of `test/fixtures/0.1.0/service/bundle/service.mjs`. */
type ReleasedService = Pick<typeof import('../../src/service/service.js'), 'createService'> &
  Pick<typeof import('../../src/config/config.js'), 'loadConfig'> &
  Pick<typeof import('../../src/store/migrations.js'), 'applyMigrations'>

const DIRECTORY = new URL('../fixtures/0.1.0/', import.meta.url)

/** Imports the built service of release 0.1.0. */
export function importReleasedService(): Promise<ReleasedService> {
  return import(new URL('service/bundle/service.mjs', DIRECTORY).href)
}

/** Imports the built client of release 0.1.0. */
export function importReleasedClient(): Promise<
  Pick<typeof import('../../src/client/index.js'), 'createLastLogoutClient'>
> {
  return import(new URL('client.mjs', DIRECTORY).href)
}

/** Reads the code of the login Action of release 0.1.0. */
export function readReleasedAction(): Promise<string> {
  return readFile(new URL('login-action.cjs', DIRECTORY), 'utf8')
}

/** The directory of the migrations of release 0.1.0. */
export const RELEASED_MIGRATIONS = new URL('prisma/migrations/', DIRECTORY)
