import { readFile } from 'node:fs/promises'

/** What `test/fixtures/0.1.0/service/bundle/service.mjs` exports. */
type ReleasedService = Pick<typeof import('../../src/service/service.js'), 'createService'> &
  Pick<typeof import('../../src/config/config.js'), 'loadConfig'> &
  Pick<typeof import('../../src/store/migrations.js'), 'applyMigrations'>

const DIRECTORY = new URL('../fixtures/0.1.0/', import.meta.url)

/** The service of 0.1.0. */
export function importReleasedService(): Promise<ReleasedService> {
  return import(new URL('service/bundle/service.mjs', DIRECTORY).href)
}

/** The client of 0.1.0. */
export function importReleasedClient(): Promise<
  Pick<typeof import('../../src/client/index.js'), 'createLastLogoutClient'>
> {
  return import(new URL('client.mjs', DIRECTORY).href)
}

/** The login Action of 0.1.0. */
export function readReleasedAction(): Promise<string> {
  return readFile(new URL('login-action.cjs', DIRECTORY), 'utf8')
}

/** The migrations of 0.1.0. */
export const RELEASED_MIGRATIONS = new URL('prisma/migrations/', DIRECTORY)
