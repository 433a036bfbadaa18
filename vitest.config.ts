import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config'

/** The test files that hold for any database server, whatever its settings are. */
const CONTRACT = [
  'test/store/{changes,last-logout-store,migrations,retention}.test.ts',
  'test/sync/{gaps,lease,poll,receive,reconcile}.test.ts',
  'test/http/{app,changes,report}.test.ts',
  'test/metrics/database.test.ts',
]

/** Each project starts a server of its own, with these settings for every session. */
const project = (
  name: string,
  files: { include: string[]; exclude?: string[] },
  postgresSettings: Record<string, string> = {},
): TestProjectInlineConfiguration => ({
  extends: true,
  test: {
    ...files,
    name,
    globalSetup: 'test/_support/global-setup.ts',
    provide: { postgresSettings },
  },
})

const ENVIRONMENTS = ['test/environments/**/*.test.ts']

export default defineConfig({
  test: {
    testTimeout: 30_000,
    hookTimeout: 60_000,
    projects: [
      project('default', { include: ['test/**/*.test.ts'], exclude: ENVIRONMENTS }),
      project('environments', { include: ENVIRONMENTS }),
      project('contract:new-york', { include: CONTRACT }, { timezone: 'America/New_York' }),
      project(
        'contract:kolkata',
        { include: CONTRACT },
        { timezone: 'Asia/Kolkata', datestyle: 'German, DMY' },
      ),
    ],
  },
})
