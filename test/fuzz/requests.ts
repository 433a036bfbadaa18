import fc from 'fast-check'
import { syntheticLogId } from '../../src/rules/log-id.js'
import { buildEntry } from '../../src/simulator/entries.js'

/** A request. Its credential is valid, but the rest of the request is often invalid. */
export interface FuzzedRequest {
  method: string
  url: string
  headers: Record<string, string>
  payload: string | Buffer | undefined
}

/** Credentials of the requests. */
export interface FuzzedCredentials {
  /** A key with every role. */
  key: string
  /** The token of the log stream. */
  token: string
}

const NOW = Date.now()

/** Strings that have a special meaning for parsers, proxies or databases. */
const specialString = fc.constantFrom(
  '',
  ' ',
  '.',
  '..',
  '%',
  '%2',
  '%zz',
  '%00',
  '%ff',
  '%c0%af',
  '%2e%2e%2f',
  '/',
  '//',
  '\\',
  '?',
  '#',
  '&',
  '=',
  ';',
  ':',
  '*',
  "'",
  '"; DROP TABLE tenant; --',
  '$1',
  '{}',
  '[]',
  '__proto__',
  'constructor',
  'null',
  'undefined',
  'NaN',
  '-1',
  '1e999',
  '9'.repeat(40),
  'x'.repeat(801),
  'x'.repeat(9_601),
  '%F0%9F%98%80',
  '\u0000',
  '\ud800',
  '\uffff',
  'auth0|1',
  'auth0%7C1',
  'S1',
  '…@clients',
)
const anyString = fc.oneof(specialString, fc.string(), fc.string({ unit: 'binary' }))
const escaped = anyString.map((value) => encodeURIComponent(value.toWellFormed()))
/** Strings with only those characters that a client can send unencoded. */
const raw = anyString.map((value) => value.replace(/[^\x21-\x7e]/g, '').replace(/[?#]/g, ''))
const segment = fc.oneof({ weight: 3, arbitrary: escaped }, { weight: 1, arbitrary: raw })

const instant = fc.oneof(
  { weight: 3, arbitrary: fc.date({ noInvalidDate: true }).map((date) => date.toISOString()) },
  fc.constant(new Date(NOW).toISOString()),
  fc.constantFrom('0000-00-00T00:00:00Z', '9999-12-31T23:59:60Z', '2026-11-23T10:00:00'),
  anyString,
)
const number = fc.oneof(
  fc.double(),
  fc.integer(),
  fc.constantFrom(NOW / 1_000, 0, -0, 2 ** 53, 1e308, -1e308),
)
const value: fc.Arbitrary<unknown> = fc.oneof(
  anyString,
  instant,
  number,
  fc.constantFrom(null, true, false, [], {}),
  fc.jsonValue({ maxDepth: 3 }),
)

const parameters = (names: string[]) =>
  fc
    .array(fc.tuple(fc.oneof(fc.constantFrom(...names), segment), fc.oneof(segment, instant)), {
      maxLength: 5,
    })
    .map((pairs) => pairs.map(([name, value]) => `${name}=${encodeURI(value.toWellFormed())}`))
    .map((pairs) => (pairs.length === 0 ? '' : `?${pairs.join('&')}`))

/** Malformed cursors, and well-formed cursors that no database has issued. */
const cursor = fc.oneof(
  segment,
  fc.bigInt({ min: -1n, max: 2n ** 70n }).map(String),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('base64url')),
)

/** Values of the claims with the time of the login. Most are valid: the API rejects every request with an invalid one. */
const loginTime = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 1_000_000_000, max: 2_000_000_000 }) },
  number,
  value,
)
const claims = fc.oneof(
  value,
  fc.record(
    {
      sub: fc.oneof(fc.constantFrom('auth0|1', 'x@clients'), value),
      iat: loginTime,
      auth_time: loginTime,
      sid: value,
      'https://last-logout/session_id': value,
      'https://last-logout/authenticated_at': loginTime,
      'https://last-logout/last_logout': value,
    },
    { requiredKeys: [] },
  ),
  fc.dictionary(anyString, value),
)

const entry = fc
  .record(
    {
      type: fc.oneof(
        { weight: 5, arbitrary: fc.constantFrom('slo', 'universal_logout_succeeded', 'flo', 's') },
        { weight: 1, arbitrary: value },
      ),
      user_id: fc.oneof(fc.constantFrom('auth0|1', 'auth0|2', '', null), value),
      date: fc.oneof(instant, value),
      log_id: fc.oneof(fc.constant(syntheticLogId(NOW)), value),
      details: fc.oneof(fc.record({ session_id: value }), value),
    },
    { requiredKeys: [] },
  )
  .map((fields): unknown => ({ ...buildEntry('slo'), ...fields }))
const streamItem: fc.Arbitrary<unknown> = fc.oneof(
  entry,
  entry.map((data) => ({ log_id: (data as { log_id?: unknown }).log_id, data })),
  entry.map((data) => ({ detail: { data } })),
  value,
)

/** JSON, sometimes truncated, repeated, or with other text in it. */
const corrupted = (json: fc.Arbitrary<string>) =>
  fc.oneof(
    { weight: 5, arbitrary: json },
    fc.tuple(json, fc.double({ min: 0, max: 1, noNaN: true })).map(([whole, fraction]) => {
      return whole.slice(0, Math.floor(whole.length * fraction))
    }),
    json.map((whole) => whole + whole),
    fc.tuple(json, anyString, fc.nat()).map(([whole, inserted, index]) => {
      const position = index % (whole.length + 1)
      return whole.slice(0, position) + inserted + whole.slice(position)
    }),
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
    fc.nat({ max: 20_000 }).map((depth) => '['.repeat(depth)),
    fc.nat({ max: 20_000 }).map((depth) => '{"a":'.repeat(depth)),
  )
const json = (arbitrary: fc.Arbitrary<unknown>) =>
  corrupted(arbitrary.map((value) => JSON.stringify(value) ?? ''))

const streamBody = fc.oneof(
  json(fc.array(streamItem, { maxLength: 5 })),
  fc
    .array(json(streamItem), { maxLength: 5 })
    .chain((lines) => fc.constantFrom('\n', '\r\n', '').map((end) => lines.join(end))),
)

const contentType = fc.oneof(
  { weight: 6, arbitrary: fc.constant('application/json') },
  fc.constantFrom('application/x-ndjson', 'text/plain', 'application/json; charset=utf-16', ''),
  raw,
)
const extraHeaders = fc.dictionary(
  fc.oneof(
    fc.constantFrom('accept', 'accept-encoding', 'last-event-id', 'content-encoding', 'expect'),
    fc.constantFrom('x-forwarded-for', 'host', 'origin', 'if-none-match', 'range', 'cookie'),
    fc.stringMatching(/^[a-z]{1,12}$/).map((name) => `x-${name}`),
  ),
  raw.filter((value) => !value.includes('event-stream')),
  { maxKeys: 3 },
)
const method = fc.oneof(
  { weight: 9, arbitrary: fc.constant(null) },
  fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'QUERY'),
)

const GET = { method: 'GET', body: fc.constant(undefined) }
const POST = { method: 'POST' }
const userPath = fc.oneof({ weight: 1, arbitrary: fc.constant('auth0%7C1') }, segment)
const changesUrl = fc
  .tuple(parameters(['after', 'since', 'limit']), fc.option(cursor))
  .map(([query, after]) => {
    return `/v1/changes${query}${after === null ? '' : `${query ? '&' : '?'}after=${after}`}`
  })

/** The method of every route, and generators of its URL and its body. */
const routes = [
  {
    ...GET,
    url: fc
      .tuple(userPath, parameters(['session_id']))
      .map(([user, query]) => `/v1/users/${user}/last-logout${query}`),
  },
  {
    ...GET,
    url: fc
      .tuple(userPath, parameters(['session_id', 'user_id']))
      .map(([user, query]) => `/v1/last-logout?user_id=${user}${query.replace('?', '&')}`),
  },
  { ...GET, url: changesUrl },
  {
    ...POST,
    url: parameters(['x']).map((query) => `/v1/check${query}`),
    body: json(
      fc.oneof(
        fc.record({ claims, namespace: value }, { requiredKeys: ['claims'] }),
        fc.record({ claims, namespace: fc.constant('https://last-logout/') }),
        value,
      ),
    ),
  },
  {
    ...POST,
    url: userPath.map((user) => `/v1/users/${user}/logout`),
    body: json(
      fc.oneof(
        fc.record({ at: instant, session_id: value }, { requiredKeys: ['at'] }),
        fc.record({ at: instant }),
        value,
      ),
    ),
  },
  {
    ...POST,
    url: fc.constant('/v1/logouts'),
    body: json(
      fc.oneof(
        fc.record(
          { user_id: value, at: instant, session_id: value },
          { requiredKeys: ['user_id'] },
        ),
        fc.record({ user_id: fc.constant('auth0|1') }),
        value,
      ),
    ),
  },
  { ...POST, url: fc.constant('/v1/log-stream'), body: streamBody },
  {
    ...GET,
    url: fc
      .tuple(
        fc.constantFrom(
          '/health/live',
          '/health/ready',
          '/health/fresh',
          '/openapi.json',
          '/docs/',
          '/metrics',
        ),
        parameters(['x']),
      )
      .map(([path, query]) => path + query),
  },
  { ...GET, url: fc.array(segment, { maxLength: 6 }).map((parts) => `/${parts.join('/')}`) },
]

/** Generates subscriptions to the change feed. */
export function fuzzedSubscriptions({ key }: FuzzedCredentials): fc.Arbitrary<FuzzedRequest> {
  const lastEventId = fc.option(fc.oneof(cursor, raw))
  return fc.record({ url: changesUrl, lastEventId, extraHeaders }).map((drawn) => ({
    method: 'GET',
    url: drawn.url,
    payload: undefined,
    headers: {
      ...drawn.extraHeaders,
      accept: 'text/event-stream',
      ...(drawn.lastEventId !== null && { 'last-event-id': drawn.lastEventId }),
      authorization: `Bearer ${key}`,
    },
  }))
}

/** Generates requests to every route. */
export function fuzzedRequests({ key, token }: FuzzedCredentials): fc.Arbitrary<FuzzedRequest> {
  const ofRoute = (route: (typeof routes)[number]) =>
    fc
      .record({ url: route.url, method, payload: route.body, contentType, extraHeaders })
      .map(({ url, payload, contentType: type, ...drawn }): FuzzedRequest => {
        const method = drawn.method ?? route.method
        const isStream = method === 'POST' && url === '/v1/log-stream'
        const headers = {
          ...drawn.extraHeaders,
          ...(payload !== undefined && { 'content-type': type }),
          authorization: isStream ? token : `Bearer ${key}`,
        }
        return { method, url, payload, headers }
      })
  return fc.oneof(...routes.map(ofRoute))
}
