import fc from 'fast-check'
import { syntheticLogId } from '../../src/rules/log-id.js'
import { buildEntry } from '../../src/simulator/entries.js'

/** When the test began. */
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
  // The maximum length of an id is 800 characters, which are at most 9,600 characters if percent-encoded.
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
/** Strings. Many of them have a special meaning. */
export const anyString = fc.oneof(specialString, fc.string(), fc.string({ unit: 'binary' }))
/** Percent-encoded strings. */
const encoded = anyString.map((value) => encodeURIComponent(value.toWellFormed()))
/** Strings of characters that a client can send without encoding. */
export const raw = anyString.map((value) => value.replace(/[^\x21-\x7e]/g, '').replace(/[?#]/g, ''))
/** Segments of a path or of a query, most of them encoded. */
export const segment = fc.oneof({ weight: 3, arbitrary: encoded }, { weight: 1, arbitrary: raw })

/** Instants, some of them invalid. */
export const instant = fc.oneof(
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
/** Values of any type of JSON. */
export const value: fc.Arbitrary<unknown> = fc.oneof(
  anyString,
  instant,
  number,
  fc.constantFrom(null, true, false, [], {}),
  fc.jsonValue({ maxDepth: 3 }),
)

/** Queries with some of the given parameters, with other parameters, or with none. */
export const parameters = (names: string[]) =>
  fc
    .array(fc.tuple(fc.oneof(fc.constantFrom(...names), segment), fc.oneof(segment, instant)), {
      maxLength: 5,
    })
    .map((pairs) => pairs.map(([name, value]) => `${name}=${encodeURI(value.toWellFormed())}`))
    .map((pairs) => (pairs.length === 0 ? '' : `?${pairs.join('&')}`))

/** Malformed cursors, and well-formed cursors that no database has issued. */
export const cursor = fc.oneof(
  segment,
  fc
    .tuple(fc.stringMatching(/^[0-9a-f]{12}$/), fc.bigInt({ min: -1n, max: 2n ** 70n }))
    .map(([feed, position]) => `${feed}.${position}`),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('base64url')),
)

/** Values of the claims with the time of the login. Most are valid, because one invalid value makes the claims invalid. */
const loginTime = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 1_000_000_000, max: 2_000_000_000 }) },
  number,
  value,
)
/** Claims of a token, often invalid. */
export const claims = fc.oneof(
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

/** Log entries. Most have some invalid fields. */
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
/** An item of the body of a log stream: an entry, or an object that contains one, or any value. */
const streamItem: fc.Arbitrary<unknown> = fc.oneof(
  entry,
  entry.map((data) => ({ log_id: (data as { log_id?: unknown }).log_id, data })),
  entry.map((data) => ({ detail: { data } })),
  value,
)

/** JSON. Some of it is truncated, repeated, replaced by other text, or has text inserted. */
export const corrupted = (json: fc.Arbitrary<string>) =>
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
/** Bodies of JSON. Some are corrupted. */
export const json = (arbitrary: fc.Arbitrary<unknown>) =>
  corrupted(arbitrary.map((value) => JSON.stringify(value) ?? ''))

/** Bodies of a log stream. */
export const streamBody = fc.oneof(
  json(fc.array(streamItem, { maxLength: 5 })),
  fc
    .array(json(streamItem), { maxLength: 5 })
    .chain((lines) => fc.constantFrom('\n', '\r\n', '').map((end) => lines.join(end))),
)

/** Media types. Most are `application/json`. */
export const contentType = fc.oneof(
  { weight: 6, arbitrary: fc.constant('application/json') },
  fc.constantFrom('application/x-ndjson', 'text/plain', 'application/json; charset=utf-16', ''),
  raw,
)
/** Headers that every request can have. */
export const extraHeaders = fc.dictionary(
  fc.oneof(
    fc.constantFrom('accept', 'accept-encoding', 'last-event-id', 'content-encoding', 'expect'),
    fc.constantFrom('x-forwarded-for', 'host', 'origin', 'if-none-match', 'range', 'cookie'),
    fc.stringMatching(/^[a-z]{1,12}$/).map((name) => `x-${name}`),
  ),
  // With `accept: text/event-stream`, the response would be a stream, which does not end.
  raw.filter((value) => !value.includes('event-stream')),
  { maxKeys: 3 },
)
/** A method that replaces the method of the route; `null`: the method is not replaced. */
export const method = fc.oneof(
  { weight: 9, arbitrary: fc.constant(null) },
  fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'QUERY'),
)
