import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as faults from '../../src/simulator/faults.js'
import { finishCommand } from '../_support/cli.js'
import { finishCommandLine, startCommandLine } from '../_support/command-line.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { expectPasteable, PROGRAM } from '../_support/printed.js'
import { openTenant, type TestTenant, tenantEnv } from '../_support/tenant.js'

/*
 * Tests what the program prints after typical mistakes of new users, and in typical situations. Every message must
 * state what failed, why, and what to do. Its commands must run when they are pasted into a shell.
 */

const KEY = 'k'.repeat(48)
const LOGS_PATH = '/api/v2/logs'
const TOKEN_PATH = '/oauth/token'

let database: TestDatabase
let emptyDatabase: TestDatabase
let auth0: TestTenant
let env: Record<string, string>
beforeAll(async () => {
  ;[database, emptyDatabase, auth0] = await Promise.all([
    createTestDatabase(),
    createTestDatabase('template0'),
    openTenant(),
  ])
  env = {
    ...tenantEnv(auth0.simulator),
    DATABASE_URL: database.url,
    API_KEYS: `action:${KEY}:read`,
    PORT: '0',
  }
})
afterAll(async () => {
  await auth0.close()
  await Promise.all([database.drop(), emptyDatabase.drop()])
})

const context = { programName: PROGRAM }

/** Runs a command line. Returns the exit code and everything that the command prints. */
async function run(args: string[], variables: Record<string, string> = {}) {
  const allVariables = { ...env, ...variables }
  const { code, stdout, stderr } = await finishCommandLine(args, allVariables, { context })
  return { code, printed: stdout + stderr }
}

/** A situation, and what the command must print in it. */
interface ExpectedOutput {
  /** Variables that are added to a valid configuration, or replace a part of it. */
  env?: () => Record<string, string>
  /** A fault of the tenant. */
  fault?: Parameters<TestTenant['simulator']['faults']['push']>[0]
  /** The exit code. */
  code: number
  /** What must be printed. */
  prints: RegExp[]
  /** What must not be printed. */
  omits?: RegExp
}

const swapIdAndSecret = () => ({
  AUTH0_CLIENT_ID: 's'.repeat(64),
  AUTH0_CLIENT_SECRET: env.AUTH0_CLIENT_ID ?? '',
})

const rows: [input: string, situation: string, row: ExpectedOutput][] = [
  [
    'status',
    'an entry of API_KEYS is a key without a name',
    {
      env: () => ({ API_KEYS: KEY }),
      code: 2,
      prints: [/API_KEYS entry 1 has no name: write name:key, .*such as orders-api/],
      omits: /fewer than/,
    },
  ],
  [
    'status',
    'an entry of API_KEYS is too short',
    {
      env: () => ({ API_KEYS: 'orders-api:secret' }),
      code: 2,
      prints: [
        /entry 1 has a key with fewer than 32 characters: create one with openssl rand -hex 24/,
      ],
    },
  ],
  [
    'status',
    'docker --env-file has kept quotation marks',
    {
      env: () => ({ AUTH0_DOMAIN: '"tenant.example"', API_KEYS: `'action:${KEY}'` }),
      code: 2,
      prints: [
        /AUTH0_DOMAIN begins and ends with a quotation mark.*: remove both/,
        /API_KEYS begins and ends with a quotation mark.*: remove both/,
      ],
    },
  ],
  [
    'status',
    'the file of a secret does not exist',
    {
      env: () => ({ API_KEYS: '', API_KEYS_FILE: '/run/secrets/none' }),
      code: 2,
      prints: [
        /API_KEYS_FILE names \/run\/secrets\/none, which cannot be read \(ENOENT\): check the path/,
      ],
      omits: /API_KEYS is missing/,
    },
  ],
  [
    'healthcheck',
    'the API does not run',
    {
      env: () => ({ PORT: '1' }),
      code: 1,
      prints: [
        /127\.0\.0\.1:1\/health\/live cannot be reached \(ECONNREFUSED\): check that the API/,
      ],
    },
  ],
  [
    'status',
    'AUTH0_DOMAIN is a URL',
    {
      env: () => ({ AUTH0_DOMAIN: 'https://tenant.example/' }),
      code: 2,
      prints: [/AUTH0_DOMAIN must be the bare host name .*, without https:\/\/ and without a path/],
    },
  ],
  [
    'sync',
    'names of variables are misspelled',
    {
      env: () => ({
        AUTH0_CLIENT_ID: '',
        AUTH0_CLIENTID: 'x',
        AUTH0_CLIENT_SECRET: '',
        DATABASE_URL: '',
        DATABASE_URI: 'postgresql://x',
      }),
      code: 2,
      prints: [
        /AUTH0_CLIENT_ID is missing; AUTH0_CLIENTID is set, .*rename it/,
        /AUTH0_CLIENT_SECRET is missing$/m,
        /DATABASE_URL is missing; .*set DATA_DIR .*; DATABASE_URI is set, .*rename it if you mean DATABASE_URL$/m,
      ],
    },
  ],
  [
    'status',
    'the password in DATABASE_URL is not percent-encoded',
    {
      env: () => ({ DATABASE_URL: 'postgresql://user:pa#ss@127.0.0.1/db' }),
      code: 2,
      prints: [
        /DATABASE_URL must be a URL such as \S+, with a password percent-encoded \(# is %23/,
      ],
      omits: /pa#ss/,
    },
  ],
  [
    'logout somebody@example.com',
    'the user id is an e-mail address',
    {
      code: 2,
      prints: [/is an e-mail address, .*user_id.*`npx last-logout logout 'auth0\|123'`/],
      omits: /interprets/,
    },
  ],
  [
    'logout auth0',
    'the shell has cut off the user id',
    {
      code: 2,
      prints: [/contains no \|.*`npx last-logout logout 'auth0\|123'`/],
    },
  ],
  [
    'action deploy --url http://127.0.0.1',
    'Auth0 cannot reach the API',
    {
      env: () => ({ AUTH0_BASE_URL: '' }),
      code: 2,
      prints: [
        /--url http:\/\/127\.0\.0\.1 is an address of this machine, which Auth0 cannot reach/,
      ],
    },
  ],
  [
    'action deploy --url last-logout.example',
    'the URL has no scheme',
    {
      code: 2,
      prints: [/--url must be an https URL .*, such as https:\/\/last-logout\.example\.com/],
    },
  ],
  [
    'bogus',
    'the command does not exist',
    {
      code: 2,
      prints: [/unknown command 'bogus'/, /Commands: demo, init/, /see `npx last-logout --help`/],
      omits: /Did you mean/,
    },
  ],
  [
    'statsu',
    'a command is misspelled',
    {
      code: 2,
      prints: [/unknown command 'statsu'\n\(Did you mean status\?\)/],
    },
  ],
  [
    'action deplyo',
    'a subcommand is misspelled',
    { code: 2, prints: [/\(Did you mean deploy\?\)/] },
  ],
  [
    'floor now',
    'the subcommand is left out',
    {
      code: 2,
      prints: [/unknown command 'now'\n\(The command is floor raise\)/],
    },
  ],
  [
    'doctor',
    'AUTH0_DOMAIN is a custom domain',
    {
      env: () => ({ AUTH0_DOMAIN: 'login.example.com', DATABASE_URL: emptyDatabase.url }),
      code: 1,
      prints: [/If login\.example\.com is a custom domain, set AUTH0_DOMAIN to the canonical one/],
    },
  ],
  [
    'doctor',
    'the application is not authorized for the Management API',
    {
      env: () => ({ AUTH0_DOMAIN: 'other.eu.auth0.com', DATABASE_URL: emptyDatabase.url }),
      code: 1,
      prints: [
        /\(403\)\. Check that the application of AUTH0_CLIENT_ID is authorized for the Auth0/,
        /grant types contain Client Credentials \(Dashboard > Applications > the application > Settings/,
      ],
      omits: /custom domain/,
    },
  ],
  [
    'sync',
    'the secret is wrong',
    {
      env: () => ({ AUTH0_CLIENT_SECRET: 'x'.repeat(64) }),
      code: 1,
      prints: [
        /\(401\)\. Check AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET \(Dashboard > .* belongs to the/,
      ],
      omits: /swapped/,
    },
  ],
  [
    'sync',
    'id and secret are swapped',
    {
      env: swapIdAndSecret,
      code: 1,
      prints: [/The id is longer than the secret: they may be swapped/],
    },
  ],
  [
    'doctor',
    'no tenant has this name in this region',
    {
      fault: { path: TOKEN_PATH, respond: faults.html(404) },
      code: 1,
      prints: [/404: there is no tenant tenant\.example at this address\. .*its region included/],
    },
  ],
  [
    'doctor',
    'the host name cannot be resolved',
    {
      env: () => ({ AUTH0_BASE_URL: 'https://tenant.invalid' }),
      code: 1,
      prints: [
        /host name of https:\/\/tenant\.invalid cannot be resolved \(E\w+\)\. Check AUTH0_DOMAIN/,
      ],
    },
  ],
  [
    'doctor',
    'a firewall or proxy responds to the token request with 403 and HTML',
    {
      fault: { path: TOKEN_PATH, times: 9, respond: faults.html(403) },
      code: 1,
      prints: [/status 403 and text\/html, but Auth0 responds with JSON\. A firewall, a proxy/],
      omits: /client credentials|AUTH0_CLIENT_SECRET/,
    },
  ],
  [
    'doctor',
    'a firewall or proxy responds to log requests with 403 and HTML',
    {
      fault: { path: LOGS_PATH, times: 9, respond: faults.html(403) },
      code: 1,
      prints: [/^ok +token/m, /failure +log +.*403 and text\/html, .*allow requests to/],
      omits: /lacks read:logs/,
    },
  ],
  [
    'sync',
    'the application lacks the scopes',
    {
      fault: { path: LOGS_PATH, times: 9, respond: faults.missingScope() },
      code: 1,
      prints: [/lacks read:logs and read:logs_users at tenant\.example\. Grant .*\(Dashboard > /],
    },
  ],
  [
    'status',
    'the tables are missing',
    {
      env: () => ({ DATABASE_URL: emptyDatabase.url }),
      code: 1,
      prints: [/not migrated to this version: run `npx last-logout migrate`/],
    },
  ],
  [
    'status',
    'nothing has been read yet',
    {
      code: 0,
      prints: [
        /^next +run `npx last-logout start` .*`npx last-logout sync` .*`npx last-logout doctor`/m,
      ],
    },
  ],
  [
    'api',
    'the port is in use',
    {
      env: () => ({ PORT: new URL(auth0.simulator.url).port }),
      code: 1,
      prints: [
        /\(EADDRINUSE\): another process listens there; stop it, or set PORT to a free port/,
      ],
    },
  ],
  [
    'api',
    'HOST is no address of this machine',
    {
      env: () => ({ HOST: '192.0.2.1' }),
      code: 1,
      prints: [/\(EADDRNOTAVAIL\): HOST is not an address of this machine; set it to one/],
    },
  ],
  [
    'doctor',
    'no check fails, and some checks warn',
    {
      code: 0,
      prints: [
        /^summary +\d+ ok, \d+ warnings?, 0 failed, \d+ skipped\n +-> nothing has failed: read/m,
      ],
    },
  ],
  [
    'doctor',
    'some checks fail',
    {
      env: () => ({ DATABASE_URL: emptyDatabase.url }),
      code: 1,
      prints: [
        /^summary .* [1-9] failed, .*\n +-> correct the first failure, .*`npx last-logout doctor`/m,
        /failed: follow the advice/,
      ],
    },
  ],
  [
    'explain abc',
    'the token is opaque',
    {
      code: 2,
      prints: [/is an opaque token or a part of a token\. .*Paste the access token/],
    },
  ],
]

describe('what a new user sees', () => {
  test.each(rows)('the command "%s" prints what to do if %s', async (input, _situation, row) => {
    if (row.fault !== undefined) auth0.simulator.faults.push(row.fault)
    const { code, printed } = await run(input.split(' '), row.env?.())
    auth0.simulator.faults.clear()
    expect({ code, printed }).toEqual({ code: row.code, printed: expect.anything() })
    for (const pattern of row.prints) expect(printed).toMatch(pattern)
    if (row.omits !== undefined) expect(printed).not.toMatch(row.omits)
    await expectPasteable(printed)
    for (const secret of [KEY, env.AUTH0_CLIENT_SECRET]) expect(printed).not.toContain(secret)
  })

  test.each([
    ['node dist/main.js', {}],
    ['npx last-logout', { npm_command: 'exec', npm_lifecycle_script: "'last-logout'" }],
  ])(
    'the message about an unknown command names the program as it was started: %s',
    async (name, npmVariables) => {
      const { stderr } = await finishCommand(['bogus'], npmVariables, { cwd: process.cwd() })
      expect(stderr).toContain(`(see \`${name} --help\`)`)
    },
  )

  test('start does not log "polling" while Redis is unavailable, because nothing is polled (0.1.0: it did)', async () => {
    const variables = { REDIS_URL: 'redis://127.0.0.1:1' }
    const command = startCommandLine(['start'], { ...env, ...variables }, { context })
    await expect.poll(command.stdout, { timeout: 20_000 }).toContain('"serving"')
    await expect.poll(command.stdout, { timeout: 20_000 }).toContain('"job queue unavailable"')
    command.stop()
    expect(await command.ended).toBe(0)
    expect(command.stdout()).toMatch(
      /"advice":"the log is not read until .*check that Redis runs and is reachable from this host, and that REDIS_URL is correct/,
    )
    expect(command.stdout()).not.toContain('"polling"')
  })
})
