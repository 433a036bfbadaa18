import { z } from 'zod'
import { LastLogoutError } from '../errors.js'
import { DEFAULT_TYPES } from '../rules/event-types.js'
import { apiKeys, readKey } from './api-keys.js'
import {
  baseUrl,
  DAY_MS,
  domain,
  duration,
  eventTypes,
  headerToken,
  number,
  port,
  proxies,
  url,
} from './values.js'

/** What a command needs beside the tenant's domain. */
export type Need = 'auth0' | 'api' | 'database'

/** Every variable, by its name in the environment. */
const variables = {
  AUTH0_DOMAIN: domain,
  AUTH0_CLIENT_ID: z.string().optional(),
  AUTH0_CLIENT_SECRET: z.string().optional(),
  AUTH0_BASE_URL: baseUrl.optional(),
  DATABASE_URL: url(['postgres:', 'postgresql:'], 'postgresql://user@host/database').optional(),
  DATABASE_DIRECT_URL: url(
    ['postgres:', 'postgresql:'],
    'postgresql://user@host/database',
  ).optional(),
  DATA_DIR: z.string().optional(),
  REDIS_URL: url(['redis:', 'rediss:'], 'redis://host:6379').optional(),
  API_KEYS: apiKeys.optional(),
  HOST: z.string().default('127.0.0.1'),
  PORT: port.default(8080),
  WORKER_PORT: port.optional(),
  POLICY: z.enum(['session', 'user'], 'must be session or user').default('session'),
  POLL_INTERVAL: duration('5s', 100),
  RECONCILE_INTERVAL: duration('5m', 100),
  RECONCILE_WINDOW: duration('15m', 1_000),
  MAX_TOKEN_AGE: duration('24h', 1_000),
  MAX_REFRESH_AGE: duration('30d', 1_000),
  RETAIN_DAYS: number(60, 1, 3_650),
  RATE_SHARE: number(0.5, 0.01, 1),
  MAX_LAG: duration('60s', 100),
  EVENT_TYPES: eventTypes.default([...DEFAULT_TYPES]),
  ON_GAP: z.enum(['record', 'floor'], 'must be record or floor').default('record'),
  LOG_STREAM_TOKEN: headerToken.optional(),
  TRUST_PROXY: proxies.optional(),
  LOG_LEVEL: z
    .enum(
      ['trace', 'debug', 'info', 'warn', 'error', 'silent'],
      'must be trace, debug, info, warn, error or silent',
    )
    .default('info'),
}

const WHERE_TO_SET =
  'Set them in the environment, or in a file .env in the current directory (see .env.example).'

type Variables = { [Name in keyof typeof variables]: z.output<(typeof variables)[Name]> }

/** What the service is run with; every time in milliseconds. */
export type Config = ReturnType<typeof toConfig>

/**
 * Reads the configuration from the environment. Throws `CONFIGURATION` with every problem in one
 * message, in which no value of a secret appears.
 */
export function loadConfig(env: Record<string, string | undefined>, needs: Need[]): Config {
  // Compose files and shells set variables to nothing where they mean not to set them.
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''))
  const problems: string[] = []
  const read = Object.entries(variables).map(([name, schema]) => {
    const { data, error } = schema.safeParse(given[name])
    for (const { message } of error?.issues ?? []) problems.push(describe(name, message, given))
    return [name, data]
  })
  const values = Object.fromEntries(read) as Partial<Variables>
  problems.push(...findMissing(given, needs), ...findContradictions(values))
  // Without a problem every variable has been read.
  if (problems.length === 0) return toConfig(values as Variables)
  throw new LastLogoutError(
    'CONFIGURATION',
    `the configuration is wrong:\n${bullets(problems)}\n${WHERE_TO_SET}`,
  )
}

function describe(name: string, message: string, given: Record<string, unknown>): string {
  return given[name] === undefined ? `${name} is missing` : `${name} ${message}`
}

function findMissing(given: Record<string, unknown>, needs: Need[]): string[] {
  const required = [
    ...(needs.includes('auth0') ? ['AUTH0_CLIENT_ID', 'AUTH0_CLIENT_SECRET'] : []),
    ...(needs.includes('api') ? ['API_KEYS'] : []),
  ]
  const missing = required.filter((name) => !(name in given)).map((name) => `${name} is missing`)
  const hasDatabase = 'DATABASE_URL' in given || 'DATA_DIR' in given
  return needs.includes('database') && !hasDatabase
    ? [
        ...missing,
        'DATABASE_URL is missing; or set DATA_DIR to let this program run its own PostgreSQL there',
      ]
    : missing
}

function findContradictions(values: Partial<Variables>): string[] {
  const { RETAIN_DAYS = Infinity, MAX_REFRESH_AGE = 0, MAX_TOKEN_AGE = 0 } = values
  const leastDays = Math.ceil((MAX_REFRESH_AGE + MAX_TOKEN_AGE) / DAY_MS)
  return [
    ...(RETAIN_DAYS < leastDays
      ? [`RETAIN_DAYS must be at least ${leastDays}: MAX_REFRESH_AGE plus MAX_TOKEN_AGE`]
      : []),
    ...(values.API_KEYS?.some(({ key }) => isSentWith(key, values.LOG_STREAM_TOKEN))
      ? ['LOG_STREAM_TOKEN must not be one of the keys in API_KEYS: Auth0 may send, and not ask']
      : []),
    ...(values.DATABASE_URL !== undefined && values.DATA_DIR !== undefined
      ? ['DATABASE_URL and DATA_DIR exclude each other: the database is here or there']
      : []),
  ]
}

/** Whether whoever has the key can send the token: it may have been entered with a scheme before it. */
function isSentWith(key: string, token: string | undefined): boolean {
  return key === token || key === readKey(token)
}

function toConfig(values: Variables) {
  return {
    auth0: {
      domain: values.AUTH0_DOMAIN,
      baseUrl: new URL(values.AUTH0_BASE_URL ?? `https://${values.AUTH0_DOMAIN}`).origin,
      clientId: values.AUTH0_CLIENT_ID ?? '',
      clientSecret: values.AUTH0_CLIENT_SECRET ?? '',
      rateShare: values.RATE_SHARE,
    },
    database: {
      url: values.DATABASE_URL,
      directUrl: values.DATABASE_DIRECT_URL,
      dataDir: values.DATA_DIR,
    },
    redisUrl: values.REDIS_URL,
    http: {
      host: values.HOST,
      port: values.PORT,
      /** Where a worker that runs alone is scraped; `undefined`: nowhere. */
      workerPort: values.WORKER_PORT,
      apiKeys: values.API_KEYS ?? [],
      logStreamToken: values.LOG_STREAM_TOKEN,
      trustProxy: values.TRUST_PROXY,
    },
    policy: values.POLICY,
    eventTypes: values.EVENT_TYPES,
    pollIntervalMs: values.POLL_INTERVAL,
    reconcileIntervalMs: values.RECONCILE_INTERVAL,
    reconcileWindowMs: values.RECONCILE_WINDOW,
    onGap: values.ON_GAP,
    retainMs: values.RETAIN_DAYS * DAY_MS,
    maxTokenAgeMs: values.MAX_TOKEN_AGE,
    maxRefreshAgeMs: values.MAX_REFRESH_AGE,
    maxLagMs: values.MAX_LAG,
    logLevel: values.LOG_LEVEL,
  }
}

function bullets(lines: string[]): string {
  return lines.map((line) => `  - ${line}`).join('\n')
}
