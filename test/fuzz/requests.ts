import fc from 'fast-check'
import { tokenRequests } from './token-requests.js'
import {
  claims,
  contentType,
  cursor,
  extraHeaders,
  instant,
  json,
  method,
  parameters,
  raw,
  segment,
  streamBody,
  value,
} from './values.js'

/** A request. Its credential is valid, but the rest of the request is often invalid. */
export interface FuzzedRequest {
  method: string
  url: string
  headers: Record<string, string>
  payload: string | Buffer | undefined
}

/** The valid credentials of the requests. */
export interface FuzzedCredentials {
  /** A key with every role. */
  key: string
  /** The token of the log stream. */
  token: string
  /** Access tokens and ID tokens. Some are valid; others have expired, are from another issuer, or are malformed. */
  tokensOfUsers: string[]
}

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
  { ...GET, url: segment.map((file) => `/docs/static/${file}`) },
  {
    ...POST,
    url: fc
      .tuple(fc.constantFrom('/v1/check', '/console/data/explain'), parameters(['x']))
      .map(([path, query]) => path + query),
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
          '/docs/json',
          '/docs/yaml',
          '/docs/static/index.html',
          '/console',
          '/console/data',
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
  return fc.record({ url: changesUrl, lastEventId, extraHeaders }).map((generated) => ({
    method: 'GET',
    url: generated.url,
    payload: undefined,
    headers: {
      ...generated.extraHeaders,
      accept: 'text/event-stream',
      ...(generated.lastEventId !== null && { 'last-event-id': generated.lastEventId }),
      authorization: `Bearer ${key}`,
    },
  }))
}

/** Generates requests to every route. */
export function fuzzedRequests(credentials: FuzzedCredentials): fc.Arbitrary<FuzzedRequest> {
  const { key, token } = credentials
  const requestsTo = (route: (typeof routes)[number]) =>
    fc
      .record({ url: route.url, method, payload: route.body, contentType, extraHeaders })
      .map(({ url, payload, contentType: type, ...generated }): FuzzedRequest => {
        const method = generated.method ?? route.method
        const isStream = method === 'POST' && url === '/v1/log-stream'
        const headers = {
          ...generated.extraHeaders,
          ...(payload !== undefined && { 'content-type': type }),
          authorization: isStream ? token : `Bearer ${key}`,
        }
        return { method, url, payload, headers }
      })
  return fc.oneof(...routes.map(requestsTo), ...tokenRequests(credentials))
}
