import { z } from 'zod'
import { DEFAULT_TYPES } from '../rules/event-types.js'
import { DEFAULT_HOST, DEFAULT_PORT } from './api-address.js'
import { apiKeys } from './api-keys.js'
import { databaseUrl } from './database-url.js'
import { httpProxy } from './http-proxy.js'
import { redisUrls } from './redis-urls.js'
import { jwksUrl, tokenAudiences, tokenIssuers } from './token-settings.js'
import {
  baseUrl,
  domain,
  duration,
  eventTypes,
  headerToken,
  number,
  port,
  proxies,
} from './values.js'

/** The schema of every environment variable. */
export const variables = {
  AUTH0_DOMAIN: domain,
  AUTH0_CLIENT_ID: z.string().optional(),
  AUTH0_CLIENT_SECRET: z.string().optional(),
  AUTH0_BASE_URL: baseUrl.optional(),
  HTTPS_PROXY: httpProxy.optional(),
  https_proxy: httpProxy.optional(),
  NO_PROXY: z.string().default(''),
  no_proxy: z.string().optional(),
  DATABASE_URL: databaseUrl.optional(),
  DATABASE_DIRECT_URL: databaseUrl.optional(),
  DATA_DIR: z.string().optional(),
  REDIS_URL: redisUrls.optional(),
  API_KEYS: apiKeys.optional(),
  HOST: z.string().default(DEFAULT_HOST),
  PORT: port.default(DEFAULT_PORT),
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
  TOKEN_ISSUER: tokenIssuers.optional(),
  TOKEN_JWKS_URL: jwksUrl.optional(),
  TOKEN_AUDIENCES: tokenAudiences.optional(),
  LOGOUT_ENDPOINT: z.enum(['true', 'false'], 'must be true or false').default('false'),
  TRUST_PROXY: proxies.optional(),
  LOG_LEVEL: z
    .enum(
      ['trace', 'debug', 'info', 'warn', 'error', 'silent'],
      'must be trace, debug, info, warn, error or silent',
    )
    .default('info'),
}

/**
 * The variables whose values are secrets or can contain passwords. Each of them can also be read from a file. The path
 * of the file is then in the variable with the suffix `_FILE`.
 */
export const SECRETS = [
  'AUTH0_CLIENT_SECRET',
  'HTTPS_PROXY',
  'DATABASE_URL',
  'DATABASE_DIRECT_URL',
  'REDIS_URL',
  'API_KEYS',
  'LOG_STREAM_TOKEN',
] as const satisfies (keyof typeof variables)[]

/** The value of each variable after parsing. */
export type Variables = { [Name in keyof typeof variables]: z.output<(typeof variables)[Name]> }
