import { LastLogoutError } from '../errors.js'
import { DAY_MS } from '../rules/instant.js'
import { findContradictions } from './contradictions.js'
import { toDirectUrl } from './database-schema.js'
import { type HttpProxy, isWithoutProxy } from './http-proxy.js'
import { type GivenVariables, readSecretFiles } from './secret-files.js'
import { findSimilar } from './similar-names.js'
import { addAudiences } from './token-settings.js'
import { type Variables, variables } from './variables.js'

/**
 * A part of the configuration that a command can need besides the domain of the tenant:
 *
 * - `auth0`: the credentials of the application at Auth0.
 * - `api`: the API keys.
 * - `database`: a database.
 */
export type Need = 'auth0' | 'api' | 'database'

const WHERE_TO_SET =
  'Set the variables in the environment, or in a file .env in the current directory (see docs/configuration.md).'

/**
 * Matches a value in quotation marks. A shell removes the quotation marks. Docker's `--env-file` and other readers of
 * such files keep them.
 */
const QUOTED = /^(["'])(.*)\1$/s

const SET_DATABASE = '; set it, or set DATA_DIR to run an embedded PostgreSQL in that directory'

const REMOVE_QUOTES =
  'begins and ends with a quotation mark, which is a part of its value here: remove both'

/**
 * Converts a tuple of needs to a union of its elements. For an array of unknown length, the result is `never`, because
 * the array can be empty.
 */
type NeedsIn<Needs extends readonly Need[]> = Needs extends readonly [
  infer First extends Need,
  ...infer Rest extends readonly Need[],
]
  ? First | NeedsIn<Rest>
  : never

/** The credentials of the machine-to-machine application that reads the log. */
interface Credentials {
  clientId: string
  clientSecret: string
}

/**
 * The database: the URL of a PostgreSQL server, or the directory of an embedded server. `directUrl` leads to the same
 * database without a connection pooler, for migrations, notifications and the job queue.
 */
export type DatabaseConfig =
  | { url: string; directUrl: string | undefined; dataDir: undefined }
  | { url: undefined; directUrl: string | undefined; dataDir: string }

/** All settings after parsing. Settings that a command does not need can be undefined. */
type Settings = ReturnType<typeof toSettings>

/**
 * The configuration. Every duration is in milliseconds. `Needs` are the parts that `loadConfig` has checked. With
 * `auth0`, the credentials are set. With `database`, either `url` or `dataDir` is set.
 */
export type Config<Needs extends Need = never> = Settings &
  ('auth0' extends Needs ? { auth0: Credentials } : unknown) &
  ('database' extends Needs ? { database: DatabaseConfig } : unknown)

/**
 * Reads the configuration from the environment variables, and from the files that variables such as `DATABASE_URL_FILE`
 * name.
 *
 * @param needs The parts that must be set. The type of the result depends on them.
 * @throws `CONFIGURATION` with all problems in one message. The message contains no secret.
 */
export function loadConfig<const Needs extends readonly Need[]>(
  env: Record<string, string | undefined>,
  needs: Needs,
): Config<NeedsIn<Needs>> {
  // An empty variable counts as missing, because Compose files and shells pass unset variables as empty strings.
  const setVariables = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''))
  const { given, fromFile, problems } = readSecretFiles(setVariables)
  const parsedEntries = Object.entries(variables).map(([name, schema]) => {
    const text = given[name]
    const source = fromFile.has(name) ? `${name} (from ${name}_FILE)` : name
    if (text !== undefined && QUOTED.test(text)) problems.push(`${source} ${REMOVE_QUOTES}`)
    // Quotation marks are one problem. They must not also make the value invalid.
    const { data, error } = schema.safeParse(text?.replace(QUOTED, '$2'))
    for (const { message } of error?.issues ?? []) {
      problems.push(text === undefined ? describeMissing(name, given) : `${source} ${message}`)
    }
    return [name, data]
  })
  const values = Object.fromEntries(parsedEntries) as Partial<Variables>
  problems.push(...findMissing(given, needs), ...findContradictions(values, given))
  // If there is no problem, every variable is valid and all needed variables are set.
  if (problems.length === 0) return toSettings(values as Variables) as Config<NeedsIn<Needs>>
  throw new LastLogoutError(
    'CONFIGURATION',
    `The configuration is invalid:\n${bullets(problems)}\n${WHERE_TO_SET}`,
  )
}

/**
 * Describes a missing variable. If an unknown variable with a similar name is set, also names that variable, because
 * its name may be a misspelling.
 */
function describeMissing(name: string, given: GivenVariables, advice = ''): string {
  const unknown = Object.keys(given).filter((other) => !(other in variables))
  const [similar] = findSimilar(name, unknown)
  return similar === undefined
    ? `${name} is missing${advice}`
    : `${name} is missing${advice}; ${similar} is set, and this program does not know it: rename it if you mean ${name}`
}

function findMissing(given: GivenVariables, needs: readonly Need[]): string[] {
  const required = [
    ...(needs.includes('auth0') ? ['AUTH0_CLIENT_ID', 'AUTH0_CLIENT_SECRET'] : []),
    ...(needs.includes('api') ? ['API_KEYS'] : []),
  ]
  const missing = required
    .filter((name) => !(name in given))
    .map((name) => describeMissing(name, given))
  const hasDatabase = 'DATABASE_URL' in given || 'DATA_DIR' in given
  return needs.includes('database') && !hasDatabase
    ? [...missing, describeMissing('DATABASE_URL', given, SET_DATABASE)]
    : missing
}

/** Returns the proxy for requests to a URL of Auth0. Variables in lower case take precedence, as in curl. */
function chooseProxy(url: URL, values: Variables): HttpProxy | undefined {
  const noProxy = values.no_proxy ?? values.NO_PROXY
  if (url.protocol !== 'https:' || isWithoutProxy(url, noProxy)) return undefined
  return values.https_proxy ?? values.HTTPS_PROXY
}

function toSettings(values: Variables) {
  const baseUrl = new URL(values.AUTH0_BASE_URL ?? `https://${values.AUTH0_DOMAIN}`)
  const jwksUrl = new URL(values.TOKEN_JWKS_URL ?? '/.well-known/jwks.json', baseUrl)
  return {
    auth0: {
      domain: values.AUTH0_DOMAIN,
      baseUrl: baseUrl.origin,
      /** The proxy for requests to Auth0. Undefined: no proxy. */
      proxy: chooseProxy(baseUrl, values),
      clientId: values.AUTH0_CLIENT_ID,
      clientSecret: values.AUTH0_CLIENT_SECRET,
      rateShare: values.RATE_SHARE,
    },
    database: {
      url: values.DATABASE_URL,
      directUrl: toDirectUrl(values),
      dataDir: values.DATA_DIR,
    },
    /** The URL of a Redis server, or the URLs of several nodes of a cluster. */
    redisUrls: values.REDIS_URL,
    http: {
      host: values.HOST,
      port: values.PORT,
      /** Port for health and metrics of a worker without the API. Undefined: such a worker does not listen. */
      workerPort: values.WORKER_PORT,
      apiKeys: addAudiences(values.API_KEYS ?? [], values.TOKEN_AUDIENCES),
      logStreamToken: values.LOG_STREAM_TOKEN,
      trustProxy: values.TRUST_PROXY,
      /** Whether the API serves `/logout`. */
      logoutEndpoint: values.LOGOUT_ENDPOINT === 'true',
    },
    /** How the tokens of users are verified. */
    tokens: {
      /** The accepted issuers, without a trailing slash. */
      issuers: values.TOKEN_ISSUER ?? [`https://${values.AUTH0_DOMAIN}`],
      jwksUrl: jwksUrl.href,
      /** The proxy for requests for the key set. Undefined: no proxy. */
      proxy: chooseProxy(jwksUrl, values),
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
