/** How a block of code in a document is kept correct. */
export type Proof =
  /**
   * A test reads the block with `readExample`, and runs it or compares it with what it runs. The test names the document,
   * the heading and the language.
   */
  | { test: string }
  /** `test/snippets/settings.test.ts` checks the settings in the block. */
  | { settings: true }
  /** The lines of the block, except for imports, are lines of this file in the same order. A test runs the file. */
  | { linesOf: string }
  /** The commands of the block run tests, so no test runs the block. `test/snippets/snippets.test.ts` checks its scripts and its paths. */
  | { runsTests: true }
  /** Nothing runs the block, for this reason. */
  | { notRun: string }

/**
 * The name of a block: its document, its heading and its language. The language is empty if the block names none. If a
 * section has several blocks in a language, the second has the suffix ` 1`, and the third ` 2`.
 */
type BlockName = `${string}.md > ${string} > ${string}`

const RUNS_TESTS = { runsTests: true } as const
const DIAGRAM = { notRun: 'a diagram' }
const DEPLOY_CLI = { test: 'test/consumers/deploy-cli.test.ts' }
const GETTING_STARTED = { test: 'test/packages/getting-started.test.ts' }
const BACKUP = { test: 'test/environments/backup.test.ts' }
const OPERATIONS = { test: 'test/snippets/operations.test.ts' }
const SNIPPETS = { test: 'test/consumers/snippets.test.ts' }
const SETTINGS = { settings: true } as const
const LOGOUT_ENDPOINT = { test: 'test/consumers/logout-endpoint.test.ts' }
const exampleOf = (file: string) => ({ linesOf: `examples/${file}` })
const IN_GETTING_STARTED = { linesOf: 'docs/getting-started.md' }
const INSTALLATION = { test: 'test/packages/installation.test.ts' }
const SIMULATOR = { test: 'test/packages/simulator.test.ts' }

/**
 * How each block of the documents is kept correct. Blocks that contain only commands of last-logout are not listed:
 * `test/commands/documents.test.ts` parses each of these commands.
 */
export const PROOFS: Record<BlockName, Proof> = {
  'README.md > last-logout > ': DIAGRAM,
  'README.md > Install > sh': IN_GETTING_STARTED,
  'README.md > Reject logged-out tokens > sh': INSTALLATION,
  'README.md > Reject logged-out tokens > js': exampleOf('express/app.mjs'),
  'README.md > Developing > sh': RUNS_TESTS,
  'docs/api.md > Requests > sh': { test: 'test/consumers/curl.test.ts' },
  'docs/api.md > Read a last logout > json': { test: 'test/consumers/curl.test.ts' },
  'docs/api.md > Check a token > json': { test: 'test/consumers/curl.test.ts' },
  // The block is output. The test compares it with the real output, except for instants and log ids.
  'docs/cli.md > explain > ': { test: 'test/commands/explain.test.ts' },
  'docs/cli.md > forget > ': { test: 'test/commands/forget.test.ts' },
  'docs/configuration.md > Redis > ': { test: 'test/environments/redis-servers.test.ts' },
  'docs/console.md > The key > sh': { test: 'test/commands/init.test.ts' },
  'docs/cookie-sessions.md > @auth0/nextjs-auth0 > ts': exampleOf('nextjs-auth0/proxy.ts'),
  'docs/cookie-sessions.md > @auth0/nextjs-auth0 > ts 1': exampleOf(
    'nextjs-auth0/app/orders/route.ts',
  ),
  'docs/cookie-sessions.md > express-openid-connect > js': { test: 'test/_support/cookie-app.ts' },
  'docs/database.md > A schema of its own > sh': SETTINGS,
  'docs/database.md > Two database users > sql': { test: 'test/environments/privileges.test.ts' },
  'docs/database.md > Two database users > sh': SETTINGS,
  'docs/database.md > TLS > sh': SETTINGS,
  'docs/feed.md > Request > ': { test: 'test/client/feed-connection.test.ts' },
  'docs/feed.md > Age > ': { test: 'test/client/delivery-delay.test.ts' },
  'docs/first-real-tenant.md > 1. The probe > json': {
    test: 'test/commands/doctor-output.test.ts',
  },
  'docs/first-real-tenant.md > Send it back > sh': {
    test: 'test/commands/doctor-output.test.ts',
  },
  'docs/gateways.md > Set it up > sh': SETTINGS,
  'docs/gateways.md > Introspection > sh': { test: 'test/consumers/curl.test.ts' },
  // The set-up of the test runs the second command. The test compares the block with the set-up.
  'docs/getting-started.md > 1 Build the packages > sh': INSTALLATION,
  'docs/getting-started.md > 2 Install last-logout > sh': GETTING_STARTED,
  'docs/getting-started.md > 4 Create your API > sh': GETTING_STARTED,
  'docs/getting-started.md > 4 Create your API > js': GETTING_STARTED,
  'docs/getting-started.md > 5 Start your API > sh': GETTING_STARTED,
  'docs/getting-started.md > 6 Call it with a token > sh': GETTING_STARTED,
  'docs/getting-started.md > 6 Call it with a token > http': GETTING_STARTED,
  'docs/getting-started.md > 7 Log out > http': GETTING_STARTED,
  'docs/live-connections.md > Adapters > js': SNIPPETS,
  'docs/live-connections.md > Other servers > js': SNIPPETS,
  'docs/live-connections.md > Caches and sessions of your own > js': SNIPPETS,
  // Terraform does not run. A parser of HCL reads the block, and the test compares the values with the deployed Action.
  'docs/login-action.md > With Terraform or the Deploy CLI > hcl': DEPLOY_CLI,
  'docs/login-action.md > With Terraform or the Deploy CLI > yaml': DEPLOY_CLI,
  'docs/login-action.md > With Terraform or the Deploy CLI > sh': DEPLOY_CLI,
  'docs/logout-endpoint.md > Logout endpoint > ': DIAGRAM,
  'docs/logout-endpoint.md > auth0-spa-js > js': LOGOUT_ENDPOINT,
  'docs/logout-endpoint.md > express-openid-connect > js': LOGOUT_ENDPOINT,
  'docs/logout-endpoint.md > @auth0/nextjs-auth0 > js': LOGOUT_ENDPOINT,
  'docs/metrics.md > Scrape > yaml': { test: 'test/environments/prometheus.test.ts' },
  'docs/metrics.md > Scrape > yaml 1': { test: 'test/environments/kubernetes-scrape.test.ts' },
  // Docker does not run. The test compares the command with how the test builds the image.
  'docs/operations.md > Docker > sh': { test: 'test/image/image.test.ts' },
  'docs/operations.md > Docker > sh 1': OPERATIONS,
  'docs/operations.md > Docker > sh 2': OPERATIONS,
  'docs/operations.md > systemd > sh': INSTALLATION,
  'docs/operations.md > systemd > sh 1': OPERATIONS,
  'docs/operations.md > systemd > sh 2': OPERATIONS,
  'docs/operations.md > systemd > sh 3': OPERATIONS,
  'docs/operations.md > Kubernetes > sh': OPERATIONS,
  'docs/operations.md > Back up and restore > sh': BACKUP,
  'docs/operations.md > Back up and restore > sh 1': BACKUP,
  'docs/privacy.md > Answer a request for access > sql': {
    test: 'test/store/request-for-access.test.ts',
  },
  'docs/reliability.md > Reliability > sh': RUNS_TESTS,
  'docs/resource-servers.md > Install the client > sh': INSTALLATION,
  'docs/resource-servers.md > Express > js': exampleOf('express/app.mjs'),
  'docs/resource-servers.md > Fastify > js': exampleOf('fastify/app.mjs'),
  'docs/resource-servers.md > Koa > js': exampleOf('koa/app.mjs'),
  'docs/resource-servers.md > Hono > js': exampleOf('hono/app.mjs'),
  'docs/resource-servers.md > NestJS > ts': exampleOf('nestjs/app.ts'),
  'docs/resource-servers.md > Next.js > ts': exampleOf('next/app/orders/route.ts'),
  'docs/resource-servers.md > Lambda authorizer > js': exampleOf(
    'lambda-authorizer/authorizer.mjs',
  ),
  // API Gateway does not run. The test compares the values with `toRefusal`.
  'docs/resource-servers.md > Lambda authorizer > yaml': { test: 'test/client/lambda.test.ts' },
  'docs/resource-servers.md > tRPC > ts': exampleOf('trpc/app.ts'),
  'docs/resource-servers.md > Request and Response > js': exampleOf('request-response/app.mjs'),
  'docs/resource-servers.md > Any other framework > js': SNIPPETS,
  'docs/resource-servers.md > Other languages > sh': { test: 'test/consumers/curl.test.ts' },
  'docs/resource-servers.md > Other languages > java': {
    test: 'test/consumers/spring-filter.test.ts',
  },
  'docs/upgrades.md > Test > sh': RUNS_TESTS,
  'src/client/README.md > last-logout-client > js': SNIPPETS,
  'src/simulator/README.md > With a test runner > js': SIMULATOR,
  'src/simulator/README.md > With a test runner > js 1': SIMULATOR,
  'src/simulator/README.md > Run an Action > js': SIMULATOR,
  'src/simulator/README.md > As a command > sh': SIMULATOR,
  'src/simulator/README.md > As a command > sh 1': SIMULATOR,
}
