import { availableParallelism } from 'node:os'
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config'
import { findScratchDirectory } from './test/_support/scratch.js'

// Before the workers and the global set-up start: they inherit it.
process.env.TMPDIR = findScratchDirectory()

/** Pure code, and code that needs no server but HTTP on the loopback: no PostgreSQL is started for it. */
const UNIT = [
  'test/bench/{documents,figures}.test.ts',
  'test/{pg,rules,simulator,snippets,soak,tokens}/**/*.test.ts',
  'test/action/lookup.test.ts',
  'test/action/settings.test.ts',
  'test/{architecture,documents,errors,install-scripts,pitfalls,privacy,program-name,release,words,workflows}.test.ts',
  'test/{async,config,console}/**/*.test.ts',
  'test/auth0/{rate/{limit,spare-budget},retry}.test.ts',
  'test/client/{auth-required,change-columns,clocks,conformance,delivery-delay,feed-connection,feed-events,feed-progress,hono,koa,lambda}.test.ts',
  'test/client/{last-logout-request,lazy-connect,logout-cache,lookup,merge-logouts,options,outage-report,refusal,error-handlers,repeat-with-backoff,request-lookup,silence-timer,table,trpc,utf8-decoder,watch}.test.ts',
  'test/commands/{documents,env-file,progress-display}.test.ts',
  'test/demo/{live-connections,logins,nginx,reserve-port}.test.ts',
  'test/doctor/*.test.ts',
  'test/http/{connection-limit,console,feed,forward-auth,gateway-requests,introspect,send-pages,serializer}.test.ts',
  'test/jobs/runner.test.ts',
  'test/store/{contains-any,migrations-only-add,schema}.test.ts',
  'test/sync/{catch-up-when-due,end-of-log,no-progress,progress-guard,read-ahead,read-lines,sweep}.test.ts',
]

const ENVIRONMENTS = ['test/environments/**/*.test.ts']

/** The image, without Docker: its steps run in namespaces, which need root. */
const IMAGE = ['test/image/**/*.test.ts']

/** What resource servers install, and the examples in their languages. */
const CONSUMERS = ['test/consumers/**/*.test.ts']

/** The packages, as their users get them. */
const PACKAGES = ['test/packages/**/*.test.ts']

/** The test files that hold for any database server, whatever its settings are. */
const CONTRACT = [
  'test/store/{changes,forget,last-logout-store,migrations,retention}.test.ts',
  'test/sync/{gaps,lease,poll,receive,reconcile}.test.ts',
  'test/http/{app,changes,health,report}.test.ts',
  'test/metrics/database.test.ts',
]

/** A project that starts a server of its own, with these settings for every session. */
const project = (
  name: string,
  files: { include: string[]; exclude?: string[] },
  postgresSettings: Record<string, string> = {},
  setup: string[] = [],
): TestProjectInlineConfiguration => ({
  extends: true,
  test: {
    ...files,
    name,
    globalSetup: ['test/_support/global-setup.ts', ...setup],
    provide: { postgresSettings },
  },
})

export default defineConfig({
  test: {
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Loading the program takes a second of CPU: a worker loads it once, not for each of its files.
    isolate: false,
    // Most files wait most of the time: for a poll, a database, a process.
    maxWorkers: Math.max(3, availableParallelism()),
    projects: [
      {
        extends: true,
        test: { name: 'unit', include: UNIT, globalSetup: 'test/_support/build-action.ts' },
      },
      project('system', {
        include: ['test/**/*.test.ts'],
        exclude: [...UNIT, ...ENVIRONMENTS, ...IMAGE, ...CONSUMERS, ...PACKAGES],
      }),
      project('environments', { include: ENVIRONMENTS }),
      project('image', { include: IMAGE }),
      project('consumers', { include: CONSUMERS }, {}, ['test/_support/prepare-consumers.ts']),
      {
        extends: true,
        test: {
          name: 'packages',
          include: PACKAGES,
          globalSetup: 'test/_support/prepare-packages.ts',
        },
      },
      project('contract:new-york', { include: CONTRACT }, { timezone: 'America/New_York' }),
      project(
        'contract:kolkata',
        { include: CONTRACT },
        { timezone: 'Asia/Kolkata', datestyle: 'German, DMY' },
      ),
    ],
  },
})
