import { describe, expect, test } from 'vitest'
import { type DatabaseConfig, loadConfig, type Need } from '../../src/config/config.js'
import { hasCode } from '../../src/errors.js'

const KEY = 'k'.repeat(32)
const completeEnv = {
  AUTH0_DOMAIN: 'tenant.eu.auth0.com',
  AUTH0_CLIENT_ID: 'id',
  AUTH0_CLIENT_SECRET: 'hush',
  DATABASE_URL: 'postgresql://user:pass@127.0.0.1:5432/last_logout',
  API_KEYS: `orders:${KEY}`,
}
const ALL_NEEDS: Need[] = ['auth0', 'api', 'database']

function problemsOf(env: Record<string, string | undefined>, needs: Need[] = ALL_NEEDS): string[] {
  try {
    loadConfig(env, needs)
    return []
  } catch (error) {
    if (!hasCode(error, 'CONFIGURATION')) throw error
    // The first line is an introduction, and the last line is the advice.
    return error.message.split('\n').slice(1, -1)
  }
}

test('loadConfig uses the default of every variable that is not set', () => {
  expect(loadConfig(completeEnv, ALL_NEEDS)).toEqual({
    auth0: {
      domain: 'tenant.eu.auth0.com',
      baseUrl: 'https://tenant.eu.auth0.com',
      clientId: 'id',
      clientSecret: 'hush',
      rateShare: 0.5,
    },
    database: { url: completeEnv.DATABASE_URL, directUrl: undefined, dataDir: undefined },
    redisUrls: undefined,
    http: {
      host: '127.0.0.1',
      port: 8080,
      apiKeys: [{ name: 'orders', key: KEY, roles: ['read', 'check', 'feed'] }],
      logStreamToken: undefined,
      trustProxy: undefined,
      workerPort: undefined,
      logoutEndpoint: false,
    },
    tokens: {
      issuers: ['https://tenant.eu.auth0.com'],
      jwksUrl: 'https://tenant.eu.auth0.com/.well-known/jwks.json',
      proxy: undefined,
    },
    policy: 'session',
    eventTypes: ['slo', 'universal_logout_succeeded'],
    pollIntervalMs: 5_000,
    onGap: 'record',
    reconcileIntervalMs: 300_000,
    reconcileWindowMs: 900_000,
    retainMs: 60 * 86_400_000,
    maxTokenAgeMs: 86_400_000,
    maxRefreshAgeMs: 2_592_000_000,
    maxLagMs: 60_000,
    logLevel: 'info',
  })
})

test('loadConfig reports every problem in one message', () => {
  expect(problemsOf({})).toEqual([
    '  - AUTH0_DOMAIN is missing',
    '  - AUTH0_CLIENT_ID is missing',
    '  - AUTH0_CLIENT_SECRET is missing',
    '  - API_KEYS is missing',
    '  - DATABASE_URL is missing; set it, or set DATA_DIR to run an embedded PostgreSQL in that directory',
  ])
})

test('loadConfig requires only the variables of the given needs', () => {
  const { AUTH0_DOMAIN, DATABASE_URL } = completeEnv
  expect(problemsOf({ AUTH0_DOMAIN }, [])).toEqual([])
  expect(problemsOf({ AUTH0_DOMAIN }, ['api'])).toEqual(['  - API_KEYS is missing'])
  expect(problemsOf({ AUTH0_DOMAIN }, ['database'])).toEqual([
    expect.stringMatching('DATABASE_URL is missing; set it, or set DATA_DIR'),
  ])
  expect(problemsOf({ AUTH0_DOMAIN, DATABASE_URL }, ['database'])).toEqual([])
})

test('loadConfig reports contradictions together with invalid values', () => {
  const problems = problemsOf({ ...completeEnv, PORT: 'x', DATA_DIR: './data', RETAIN_DAYS: '30' })
  const variables = problems.map((problem) => /\w+/.exec(problem)?.[0])
  expect(variables).toEqual(['PORT', 'RETAIN_DAYS', 'DATABASE_URL'])
})

test.each([
  ['is invalid', { DATABASE_URL: 'mysql://127.0.0.1/last_logout' }],
  ['is in a file that cannot be read', { DATABASE_URL: '', DATABASE_URL_FILE: './missing' }],
])('loadConfig reports DATA_DIR beside a DATABASE_URL that %s', (_, database) => {
  expect(problemsOf({ ...completeEnv, ...database, DATA_DIR: './data' })).toEqual([
    expect.stringMatching(/DATABASE_URL/),
    '  - DATABASE_URL and DATA_DIR exclude each other: set one of them',
  ])
})

test.each(['99ms', '3651d', '5', '1.5h'])(
  'loadConfig rejects the duration %s, and names the shortest and the longest',
  (POLL_INTERVAL) => {
    expect(problemsOf({ ...completeEnv, POLL_INTERVAL })).toEqual([
      '  - POLL_INTERVAL must be a duration from 100ms to 3650d, such as 5s',
    ])
  },
)

test('loadConfig rejects DATABASE_DIRECT_URL together with DATA_DIR', () => {
  const { DATABASE_URL: DATABASE_DIRECT_URL, ...otherVariables } = completeEnv
  const env = { ...otherVariables, DATABASE_DIRECT_URL, DATA_DIR: './data' }
  expect(problemsOf(env)).toEqual([
    expect.stringContaining('DATABASE_DIRECT_URL and DATA_DIR exclude each other'),
  ])
})

test('loadConfig rejects a RETAIN_DAYS that is shorter than MAX_REFRESH_AGE plus MAX_TOKEN_AGE (pitfall 25)', () => {
  const problemsWith = (RETAIN_DAYS: string, ages: Record<string, string> = {}) =>
    problemsOf({ ...completeEnv, RETAIN_DAYS, ...ages })
  const atLeast = (days: number) => [
    `  - RETAIN_DAYS must be at least ${days}: MAX_REFRESH_AGE plus MAX_TOKEN_AGE`,
  ]
  // The defaults are 30 days for MAX_REFRESH_AGE, and one day for MAX_TOKEN_AGE.
  expect(problemsWith('30')).toEqual(atLeast(31))
  expect(problemsWith('31')).toEqual([])
  expect(problemsWith('60', { MAX_REFRESH_AGE: '60d' })).toEqual(atLeast(61))
  expect(problemsWith('61', { MAX_REFRESH_AGE: '60d', MAX_TOKEN_AGE: '25h' })).toEqual(atLeast(62))
  expect(problemsWith('62', { MAX_REFRESH_AGE: '60d', MAX_TOKEN_AGE: '25h' })).toEqual([])
  for (const days of ['0', '-1', '30.5']) expect(problemsWith(days)).toHaveLength(1)
  expect(problemsWith('60', { MAX_TOKEN_AGE: '0s' })).toHaveLength(1)
})

test('loadConfig treats a variable that is set to the empty string as not set', () => {
  expect(problemsOf({ ...completeEnv, REDIS_URL: '', POLICY: '', DATA_DIR: '' })).toEqual([])
  expect(problemsOf({ ...completeEnv, AUTH0_CLIENT_ID: '' })).toEqual([
    '  - AUTH0_CLIENT_ID is missing',
  ])
})

test.each([
  ['AUTH0_DOMAIN', 'https://tenant.eu.auth0.com'],
  ['AUTH0_DOMAIN', 'tenant.eu.auth0.com/'],
  ['AUTH0_BASE_URL', 'http://tenant.eu.auth0.com'],
  ['AUTH0_BASE_URL', 'http://127.0.0.1.evil.example'],
  ['AUTH0_BASE_URL', 'https://proxy.example/auth0'],
  ['AUTH0_BASE_URL', 'ftp://tenant.eu.auth0.com'],
  ['AUTH0_BASE_URL', 'https://user:hunter2@proxy.example'],
  ['AUTH0_BASE_URL', 'https://proxy.example/?'],
  ['AUTH0_BASE_URL', 'https://proxy.example/#x'],
  ['DATABASE_URL', 'mysql://127.0.0.1/x'],
  ['DATABASE_URL', 'nonsense'],
  ['REDIS_URL', 'http://127.0.0.1'],
  ['REDIS_URL', 'redis://a:6379,'],
  ['REDIS_URL', 'redis://a:6379,http://b:6379'],
  ['REDIS_URL', 'redis://one@a,redis://two@b'],
  ['REDIS_URL', 'redis://a,rediss://b'],
  ['REDIS_URL', 'redis+sentinel://a:26379,b:26379/primary'],
  ['REDIS_URL', 'redis://a:6379/cache'],
  ['REDIS_URL', 'redis://a:6379/0/1'],
  ['REDIS_URL', 'redis://a,b/x'],
  ['REDIS_URL', 'redis://a:6379?db=x'],
  ['REDIS_URL', 'redis://a:6379/0?ssl=true'],
  ['REDIS_URL', 'redis://a:6379/0#x'],
  ['PORT', '65536'],
  ['PORT', '-1'],
  ['PORT', '80a'],
  ['PORT', '80.5'],
  ['POLICY', 'everyone'],
  ['POLL_INTERVAL', '5'],
  ['POLL_INTERVAL', '0s'],
  ['POLL_INTERVAL', '5 s'],
  ['MAX_REFRESH_AGE', '1y'],
  ['RATE_SHARE', '0'],
  ['RATE_SHARE', '1.1'],
  ['RETAIN_DAYS', '0'],
  ['RETAIN_DAYS', '30'],
  ['EVENT_TYPES', 'slo,flo'],
  ['EVENT_TYPES', 'limit_wc'],
  ['EVENT_TYPES', 'nonsense'],
  ['API_KEYS', 'orders'],
  ['API_KEYS', 'orders:short'],
  ['API_KEYS', `:${KEY}`],
  ['API_KEYS', `orders:${KEY}:admin`],
  ['API_KEYS', `orders:${KEY}:`],
  ['API_KEYS', `orders:${KEY}:read:more`],
  ['API_KEYS', ','],
  ['API_KEYS', 'orders:correct horse battery staple 1234'],
  ['API_KEYS', `orders:${'\u044e'.repeat(32)}`],
  // Two entries with the same key.
  ['API_KEYS', `a:${KEY}:read,b:${KEY}:logout`],
  ['LOG_LEVEL', 'loud'],
  ['LOGOUT_ENDPOINT', 'yes'],
  ['TOKEN_ISSUER', 'tenant.eu.auth0.com'],
  ['TOKEN_ISSUER', 'http://tenant.eu.auth0.com/'],
  ['TOKEN_ISSUER', 'https://tenant.eu.auth0.com/?x'],
  ['TOKEN_ISSUER', 'https://user:hunter2@tenant.eu.auth0.com/'],
  ['TOKEN_ISSUER', ','],
  ['TOKEN_JWKS_URL', 'http://tenant.eu.auth0.com/.well-known/jwks.json'],
  ['TOKEN_JWKS_URL', 'https://user:hunter2@tenant.eu.auth0.com/jwks'],
  ['TOKEN_AUDIENCES', 'orders'],
  ['TOKEN_AUDIENCES', '=https://orders.example.com'],
  ['TOKEN_AUDIENCES', 'orders='],
  ['TOKEN_AUDIENCES', 'orders=https://a,orders=https://b'],
  // The key in `completeEnv` has no role of a gateway.
  ['TOKEN_AUDIENCES', 'orders=https://orders.example.com'],
  ['LOG_STREAM_TOKEN', 'short'],
  ['LOG_STREAM_TOKEN', `${KEY}\u00e4`],
  ['LOG_STREAM_TOKEN', ` ${KEY}`],
  // The token is also the key in `completeEnv`.
  ['LOG_STREAM_TOKEN', KEY],
  ['LOG_STREAM_TOKEN', `Bearer ${KEY}`],
  ['LOG_STREAM_TOKEN', `bearer  ${KEY}`],
  ['LOG_STREAM_TOKEN', `Basic ${btoa(`user:${KEY}`)}`],
  ['TRUST_PROXY', 'true'],
  ['TRUST_PROXY', '1'],
  ['TRUST_PROXY', ','],
  ['TRUST_PROXY', 'proxy.example'],
  ['TRUST_PROXY', '0.0.0.0/0'],
  ['TRUST_PROXY', '::/0'],
  ['TRUST_PROXY', '10.0.0.0/33'],
  ['TRUST_PROXY', '10.0.0.0/8/8'],
  ['TRUST_PROXY', 'loopback 10.0.0.0/8'],
])('loadConfig rejects %s=%j and names the variable', (name, value) => {
  const problems = problemsOf({ ...completeEnv, [name]: value })
  expect(problems).toEqual([expect.stringMatching(`^  - ${name} `)])
})

describe('the audiences of gateways', () => {
  const gateway = (env: Record<string, string>) => ({
    ...completeEnv,
    API_KEYS: `orders:${KEY},gateway:${KEY}1:forward-auth,gateway:${KEY}2:introspect+forward-auth`,
    ...env,
  })

  test('each gateway key gets the audience that TOKEN_AUDIENCES has for its name', () => {
    const env = gateway({ TOKEN_AUDIENCES: ' gateway = https://orders.example.com/?a=b ' })
    const { apiKeys } = loadConfig(env, ALL_NEEDS).http
    const audience = 'https://orders.example.com/?a=b'
    expect(apiKeys.map((key) => key.audience)).toEqual([undefined, audience, audience])
  })

  test('loadConfig rejects a gateway key without an audience, and does not print the key', () => {
    const problems = problemsOf(gateway({}))
    expect(problems).toEqual([
      expect.stringMatching(/^ {2}- TOKEN_AUDIENCES lacks the audience of entry 2 of API_KEYS/),
      expect.stringMatching(/^ {2}- TOKEN_AUDIENCES lacks the audience of entry 3 of API_KEYS/),
    ])
    expect(problems.join()).not.toContain(KEY)
  })

  test('loadConfig rejects an audience without a gateway key', () => {
    const problem = expect.stringMatching(/^ {2}- TOKEN_AUDIENCES names (orders|typo), but/)
    const withTypo = gateway({ TOKEN_AUDIENCES: 'gateway=https://a,typo=https://b' })
    expect(problemsOf(withTypo)).toEqual([problem])
    const withoutRole = gateway({ TOKEN_AUDIENCES: 'gateway=https://a,orders=https://b' })
    expect(problemsOf(withoutRole)).toEqual([problem])
    // A worker can have TOKEN_AUDIENCES, which it shares with the API, without having API_KEYS.
    expect(problemsOf({ ...withTypo, API_KEYS: undefined }, ['auth0', 'database'])).toEqual([])
  })
})

describe('the issuers and the key set of the tokens of users', () => {
  test('the issuers of several domains share the JWKS of the tenant', () => {
    const { tokens } = loadConfig(
      {
        ...completeEnv,
        TOKEN_ISSUER: 'https://login.example.com/, https://tenant.eu.auth0.com',
        HTTPS_PROXY: 'http://proxy.example:3128',
        LOGOUT_ENDPOINT: 'true',
      },
      ALL_NEEDS,
    )
    expect(tokens).toEqual({
      issuers: ['https://login.example.com', 'https://tenant.eu.auth0.com'],
      jwksUrl: 'https://tenant.eu.auth0.com/.well-known/jwks.json',
      proxy: { url: 'http://proxy.example:3128', authorization: undefined },
    })
  })

  test('the key set is on the host of AUTH0_BASE_URL, unless TOKEN_JWKS_URL is set', () => {
    const jwksUrlOf = (env: Record<string, string>) =>
      loadConfig({ ...completeEnv, ...env }, ALL_NEEDS).tokens.jwksUrl
    const simulator = { AUTH0_BASE_URL: 'http://127.0.0.1:4000' }
    expect(jwksUrlOf(simulator)).toBe('http://127.0.0.1:4000/.well-known/jwks.json')
    const url = 'https://keys.example.com/jwks'
    expect(jwksUrlOf({ ...simulator, TOKEN_JWKS_URL: url })).toBe(url)
  })
})

test.each([
  ['AUTH0_BASE_URL', 'http://127.0.0.1:4000'],
  ['AUTH0_BASE_URL', 'http://localhost:4000/'],
  ['AUTH0_BASE_URL', 'http://[::1]:4000'],
  ['AUTH0_BASE_URL', 'https://proxy.example'],
  ['REDIS_URL', 'rediss://user:pass@redis.example:6380/2'],
  ['REDIS_URL', 'redis://user:pass@a:6379,b:6379'],
  ['REDIS_URL', 'redis://a:6379/?family=0'],
  ['POLL_INTERVAL', '200ms'],
  ['RETAIN_DAYS', '31'],
  ['LOG_STREAM_TOKEN', `Bearer ${KEY}x`],
  ['LOG_STREAM_TOKEN', `Basic ${btoa(`auth0:${KEY}x`)}`],
  ['TRUST_PROXY', 'loopback, 10.0.0.0/8, 192.0.2.7, 2001:db8::/32'],
  ['API_KEYS', `a:${KEY}:read, b:${KEY}x:feed+logout`],
])('loadConfig accepts %s=%j', (name, value) => {
  expect(problemsOf({ ...completeEnv, [name]: value })).toEqual([])
})

const ONE_HOST =
  'name the primary alone, by an address that follows a failover, such as a virtual IP, a DNS name or a TCP proxy'

test.each([
  ['postgresql://u:a,b@h1:5432,h2:5432/db', 'several hosts, which are not supported'],
  ['postgresql://u@h1,h2/db', 'several hosts, which are not supported'],
  ['postgresql://u@[::1]:5432,h2:5432/db', 'several hosts, which are not supported'],
  ['postgresql://u@h1/db?host=h1,h2', 'several hosts, which are not supported'],
  [
    'postgresql://u@h1/db?target_session_attrs=read-write',
    'target_session_attrs, which is not supported',
  ],
  [
    'postgresql://h1/db?sslmode=require&load_balance_hosts=random',
    'load_balance_hosts, which is not supported',
  ],
])('loadConfig rejects %s, because the driver connects to one host', (value, what) => {
  const remedy = what.startsWith('several') ? ONE_HOST : `remove it, and ${ONE_HOST}`
  for (const name of ['DATABASE_URL', 'DATABASE_DIRECT_URL']) {
    expect(problemsOf({ ...completeEnv, [name]: value })).toEqual([
      `  - ${name} must not contain ${what}: ${remedy}`,
    ])
  }
})

test.each([
  'postgresql://u:a,b@h1:5432/d,b?application_name=a,b',
  'postgres://u@[::1]:5432/db?sslmode=verify-full',
])('loadConfig accepts the DATABASE_URL %s', (DATABASE_URL) => {
  expect(problemsOf({ ...completeEnv, DATABASE_URL })).toEqual([])
})

test.each([
  ['redis://a', ['redis://a']],
  ['redis://u:p,q@a:1/2', ['redis://u:p,q@a:1/2']],
  [
    'redis://u:p,q@a:1,b,[::1]:3/2',
    ['redis://u:p,q@a:1/2', 'redis://u:p,q@b/2', 'redis://u:p,q@[::1]:3/2'],
  ],
  ['rediss://:p@a:1,rediss://:p@b:2', ['rediss://:p@a:1', 'rediss://:p@b:2']],
])('loadConfig reads the nodes of REDIS_URL=%s', (text, urls) => {
  expect(loadConfig({ ...completeEnv, REDIS_URL: text }, []).redisUrls).toEqual(urls)
})

test('loadConfig reports that Redis Sentinel is not supported', () => {
  const [problem] = problemsOf({ ...completeEnv, REDIS_URL: 'redis+sentinel://a:26379/primary' })
  expect(problem).toMatch(/REDIS_URL names a Redis Sentinel, which is not supported: .*migrate/)
})

test('the error message of loadConfig contains no secrets', () => {
  const secrets = {
    AUTH0_CLIENT_SECRET: 'secret-one',
    API_KEYS: 'orders:secret-two',
    DATABASE_URL: 'mysql://user:secret-three@127.0.0.1/x',
    REDIS_URL: 'secret-four',
    LOG_STREAM_TOKEN: 'secret-five',
    DATABASE_DIRECT_URL: 'secret-six',
  }
  const message = problemsOf({ ...completeEnv, ...secrets, PORT: 'x' }).join('\n')
  expect(message).not.toBe('')
  expect(message).not.toContain('secret-')
})

test('loadConfig adds the types of EVENT_TYPES to the default types', () => {
  expect(loadConfig({ ...completeEnv, EVENT_TYPES: 'scp' }, ALL_NEEDS).eventTypes).toEqual([
    'slo',
    'universal_logout_succeeded',
    'scp',
  ])
})

test('loadConfig rejects DATABASE_URL together with DATA_DIR', () => {
  const { DATABASE_URL: _, ...others } = completeEnv
  expect(problemsOf({ ...others, DATA_DIR: './data' })).toEqual([])
  expect(problemsOf({ ...completeEnv, DATA_DIR: './data' })).toEqual([
    '  - DATABASE_URL and DATA_DIR exclude each other: set one of them',
  ])
})

test('the type that loadConfig returns requires the values of the needs that are passed to it', () => {
  const { auth0, database } = loadConfig(completeEnv, ['auth0', 'database'])
  const credentials: { clientId: string; clientSecret: string } = auth0
  const server: DatabaseConfig = database
  expect(credentials).toMatchObject({ clientId: 'id', clientSecret: 'hush' })
  expect(server.url === undefined ? server.dataDir : server.url).toBe(completeEnv.DATABASE_URL)

  // @ts-expect-error Without the need `auth0`, the credentials can be missing.
  const clientId: string = loadConfig(completeEnv, ['api']).auth0.clientId
  // @ts-expect-error The type of an array of unknown length does not show which needs the array contains.
  const sameId: string = loadConfig(completeEnv, ['database', ...ALL_NEEDS]).auth0.clientId
  expect([clientId, sameId]).toEqual(['id', 'id'])
})

test.each([
  ['', /must name a schema of 1 to 63 bytes/],
  ['ü'.repeat(32), /must name a schema of 1 to 63 bytes/],
  ['a"b', /without quotes/],
  ['pg_catalog', /reserved/],
  ['information_schema', /reserved/],
  ['bullmq', /reserved/],
])('loadConfig rejects the schema %j of DATABASE_URL', (schema, message) => {
  const url = `${completeEnv.DATABASE_URL}?schema=${encodeURIComponent(schema)}`
  expect(problemsOf({ ...completeEnv, DATABASE_URL: url })).toEqual([
    expect.stringMatching(message),
  ])
})

test('loadConfig uses the schema of DATABASE_URL for DATABASE_DIRECT_URL, and rejects another schema', () => {
  const direct = 'postgresql://user@127.0.0.1/last_logout'
  const read = (schema: string, directSchema: string) =>
    loadConfig(
      {
        ...completeEnv,
        DATABASE_URL: completeEnv.DATABASE_URL + schema,
        DATABASE_DIRECT_URL: direct + directSchema,
      },
      ALL_NEEDS,
    ).database.directUrl
  expect(read('?schema=a', '')).toBe(`${direct}?schema=a`)
  expect(read('?schema=a', '?schema=a')).toBe(`${direct}?schema=a`)
  expect(read('', '')).toBe(direct)
  expect(read('', '?schema=public')).toBe(`${direct}?schema=public`)
  expect(() => read('?schema=a', '?schema=b')).toThrow(/DATABASE_DIRECT_URL names another schema/)
  expect(() => read('', '?schema=b')).toThrow(/DATABASE_DIRECT_URL names another schema/)
})
