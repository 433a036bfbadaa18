import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { finishCommandLine } from '../_support/command-line.js'
import { createTestDatabase } from '../_support/database.js'
import { readExample } from '../_support/documents.js'
import { startRedis, type TestRedis } from '../_support/redis.js'
import { sendCommand } from '../_support/redis-cluster.js'
import type { RespRules } from '../_support/resp-proxy.js'
import { openTenant } from '../_support/tenant.js'
import { WAIT } from '../_support/wait.js'
import { workerEnv } from '../_support/worker.js'
import { forbidConsole, waitForStarts } from '../jobs/fixture.js'
import { listedAsRefused, listedAsWorking } from './compatibility.js'
import {
  emulate,
  expectRefusal,
  expectToWork,
  redisVersion,
  runQueueCheck,
  startOn,
  VALKEY,
  VERSION,
  withDescription,
} from './redis-queue.js'

forbidConsole()

let redis: TestRedis
beforeAll(async () => {
  const server = await startRedis({ forceNew: true })
  if ('skip' in server) throw new Error(server.skip)
  redis = server
})
afterAll(() => redis.stop())

const HELLO_ERROR = '-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n'
const TIMEOUT_ERROR = '-ERR timeout is not an integer or out of range\r\n'

/** Whether a command waits for a time that is no whole number of seconds. */
const waitsForFraction = ([name, _key, seconds]: string[]) =>
  name === 'BZPOPMIN' && seconds?.includes('.')

/** Emulates Redis 5: it has no command HELLO, and accepts only timeouts in whole seconds. */
const REDIS_5: RespRules = {
  ...redisVersion('5.0.14'),
  respond(command) {
    if (command[0] === 'HELLO') return HELLO_ERROR
    return waitsForFraction(command) ? TIMEOUT_ERROR : undefined
  },
}

/** Emulates Dragonfly. It also states the version of Redis that it is compatible with. */
const DRAGONFLY: RespRules = {
  ...withDescription(
    (info) =>
      info.replace(/redis_version:\S+/, 'redis_version:7.4.0\r\ndragonfly_version:df-v1.34.1'),
    (text) => text.replace(VERSION, '7.4.0'),
  ),
  respond: ([name]) =>
    name === 'CLUSTER'
      ? '-ERR Cluster is disabled. Use --cluster_mode=yes to enable.\r\n'
      : undefined,
}

/** Emulates a server that does not have these commands. */
const withoutCommands = (...names: string[]): RespRules => ({
  respond: ([name = '']) =>
    names.includes(name) ? `-ERR unknown command '${name}'\r\n` : undefined,
})

describe('supported servers', () => {
  test(
    'a worker runs its jobs on Redis 7.0',
    listedAsWorking('Redis and Valkey', 'Redis 7.0'),
    (context) => expectToWork(context, redis.url),
  )

  // The check of the queue is a warning if the server does not state its maxmemory-policy.
  const emulatedServers: [name: string, RespRules, queueCheck: 'ok' | 'warning'][] = [
    ['Redis 6.2', redisVersion('6.2.14'), 'ok'],
    ['Redis 8', redisVersion('8.2.1'), 'ok'],
    ['Valkey 8', VALKEY, 'ok'],
    ['Dragonfly', DRAGONFLY, 'ok'],
    [
      'a server that knows neither HELLO nor INFO nor CLUSTER',
      withoutCommands('HELLO', 'INFO', 'CLUSTER'),
      'warning',
    ],
  ]
  for (const [name, rules, queueCheck] of emulatedServers) {
    test(
      `a worker runs its jobs on ${name} (emulated)`,
      listedAsWorking('Redis and Valkey', `${name} (emulated)`),
      async (context) => {
        await expectToWork(context, await emulate(context, redis.url, rules), queueCheck)
      },
    )
  }
})

describe('unsupported servers', () => {
  const emulatedServers: [name: string, RespRules, problem: RegExp][] = [
    ['Redis 5', REDIS_5, /is Redis 5\.0\.14, which is not supported: use Redis 6\.2 or later/],
    ['Redis 6.0', redisVersion('6.0.16'), /is Redis 6\.0\.16, which is not supported/],
    [
      'Redis 5 that permits no INFO',
      {
        respond: (command) =>
          withoutCommands('INFO').respond?.(command) ?? REDIS_5.respond?.(command),
      },
      /rejects a command that BullMQ needs \(ERR timeout is not an integer.*use Redis 6\.2/,
    ],
    [
      'Dragonfly without undeclared keys',
      {
        ...DRAGONFLY,
        respond: (command) =>
          command[0] === 'EVAL'
            ? '-ERR Error running script: script tried accessing undeclared key\r\n'
            : DRAGONFLY.respond?.(command),
      },
      /undeclared key.*--default_lua_flags=allow-undeclared-keys/,
    ],
  ]
  for (const [name, rules, problem] of emulatedServers) {
    test(
      `a worker refuses ${name} (emulated)`,
      listedAsRefused(
        'Redis and Valkey',
        `${name} (emulated)`,
        'exit code 2, with what to use instead',
      ),
      async (context) => {
        await expectRefusal(context, await emulate(context, redis.url, rules), problem)
      },
    )
  }

  test(
    'a worker refuses Redis Sentinel',
    listedAsRefused(
      'Redis and Valkey',
      'Redis Sentinel',
      'exit code 2: use the URL of the primary, or keep the schedule in PostgreSQL',
    ),
    async (context) => {
      const dir = await mkdtemp(join(tmpdir(), 'last-logout-sentinel-'))
      context.onTestFinished(() => rm(dir, { recursive: true }))
      const configFile = join(dir, 'sentinel.conf')
      await writeFile(
        configFile,
        `sentinel monitor primary 127.0.0.1 ${new URL(redis.url).port} 1\n`,
      )
      const sentinel = await startRedis({ forceNew: true, configFile, args: ['--sentinel'] })
      if ('skip' in sentinel) throw new Error(sentinel.skip)
      context.onTestFinished(() => sentinel.stop())
      // Database 1. A Sentinel has no databases.
      await expectRefusal(
        context,
        `${sentinel.url}/1`,
        /is a Redis Sentinel, which is not supported/,
      )

      const database = await createTestDatabase()
      context.onTestFinished(() => database.drop())
      const auth0 = await openTenant()
      context.onTestFinished(() => auth0.close())
      const env = { ...workerEnv(auth0, database), REDIS_URL: sentinel.url }
      const { code, stdout, stderr } = await finishCommandLine(['worker'], env)
      expect(code).toBe(2)
      expect(stderr).toMatch(/^last-logout: REDIS_URL: 127\.0\.0\.1:\d+ is a Redis Sentinel.*\n$/)
      // The worker logs no warning (level 40) and no error (level 50): the message on standard error is enough.
      expect(stdout).not.toMatch(/"level":[45]0/)
    },
  )

  test(
    'a worker refuses several servers that are no cluster',
    listedAsRefused(
      'Redis and Valkey',
      'several servers in `REDIS_URL` that are no cluster',
      'exit code 2',
    ),
    (context) => expectRefusal(context, `${redis.url},localhost:1`, /is no node of a cluster/),
  )
})

describe('a user of Redis with restricted permissions', () => {
  const PASSWORD = 'a-password'
  /** Returns the URL for connections of a user. */
  const urlAs = (user: string) => redis.url.replace('//', `//${user}:${PASSWORD}@`)
  /** Creates a user. The rules state the keys (`~`) and the commands (`+`, `-`) that the user may use. */
  const createUser = (user: string, ...rules: string[]) =>
    sendCommand(redis.url, 'ACL', 'SETUSER', user, 'on', `>${PASSWORD}`, ...rules)

  test(
    'a worker runs its jobs as a user without dangerous commands, such as INFO',
    listedAsWorking('Redis and Valkey', 'a user without INFO (`+@all -@dangerous`)'),
    async (context) => {
      await createUser('careful', '~*', '+@all', '-@dangerous')
      // The check of the queue is a warning: without INFO, the server does not state its maxmemory-policy.
      await expectToWork(context, urlAs('careful'), 'warning')
    },
  )

  test(
    'a worker runs its jobs as a user with only the permissions of docs/configuration.md',
    listedAsWorking('Redis and Valkey', 'a user with [the least rights](configuration.md#redis)'),
    async (context) => {
      const example = await readExample('docs/configuration.md', 'Redis', '')
      // The document shows the command `ACL SETUSER <user> on >PASSWORD <rules>`.
      const [, user = '', rules = ''] = /^ACL SETUSER (\S+) on >PASSWORD (.*)$/m.exec(example) ?? []
      await createUser(user, ...rules.split(' '))
      await expectToWork(context, urlAs(user))
    },
  )

  test.for<[missingPermission: string, user: string, rules: string[]]>([
    ['any command', 'no-command', ['~*']],
    ['scripts', 'no-script', ['~*', '+@all', '-@scripting']],
    ['EXISTS in a script', 'no-exists', ['~*', '+@all', '-exists']],
    ['the keys of the queue', 'no-key', ['~other:*', '+@all']],
    ['any command (the name of the user contains a quote)', "o'user", ['~*']],
  ])(
    'a worker waits while its user may not use %s, and continues after the command in the advice has run',
    async ([_missingPermission, user, rules], context) => {
      const { expect } = context
      await createUser(user, ...rules)
      const { job, lines, text } = await startOn(context, urlAs(user))
      await expect.poll(() => lines('warn'), WAIT).toHaveLength(1)
      const [{ advice, msg } = {}] = lines('warn')
      expect(msg).toBe('job queue unavailable')
      const check = await runQueueCheck(urlAs(user))
      expect(check).toMatchObject({ status: 'failure', advice: expect.any(String) })
      expect(advice).toContain(check?.advice)
      const [, command = ''] = /run `(redis-cli .*)`/.exec(check?.advice ?? '') ?? []
      await runInShell(command)
      await waitForStarts(job, 3)
      await expect.poll(() => lines('info'), WAIT).toMatchObject([{ msg: 'job queue restored' }])
      expect(lines('warn')).toHaveLength(1)
      expect(await runQueueCheck(urlAs(user))).toMatchObject({ status: 'ok' })
      expect(text()).not.toContain(PASSWORD)
    },
  )

  test('a worker logs a warning about a wrong password, with what to check', async (context) => {
    const { expect } = context
    const { lines } = await startOn(context, urlAs('unknown'))
    await expect
      .poll(() => lines('warn'), WAIT)
      .toMatchObject([
        {
          err: { message: expect.stringContaining('WRONGPASS') },
          advice: expect.stringMatching(/user and the password in REDIS_URL/),
        },
      ])
  })

  /** Runs a command of redis-cli in a shell, like an administrator who pastes it. The command must print `OK`. */
  async function runInShell(command: string): Promise<void> {
    const { stdout } = await promisify(execFile)('sh', ['-c', command])
    expect(stdout).toBe('OK\n')
  }
})
