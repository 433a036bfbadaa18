import { METHODS } from 'node:http'
import fc from 'fast-check'
import type { FuzzedCredentials, FuzzedRequest } from './requests.js'
import { anyString, corrupted, extraHeaders, parameters, raw, segment } from './values.js'

const FORM = 'application/x-www-form-urlencoded'

/** The methods that a request can have. `CONNECT` has no path. */
const METHODS_OF_REQUESTS = METHODS.filter((method) => method !== 'CONNECT')

/** Generates requests with tokens of users: those of gateways, and those of `/logout`. */
export function tokenRequests(credentials: FuzzedCredentials): fc.Arbitrary<FuzzedRequest>[] {
  const token = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...credentials.tokensOfUsers) },
    { weight: 1, arbitrary: corrupted(fc.constantFrom(...credentials.tokensOfUsers)) },
    { weight: 1, arbitrary: anyString },
  )
  return [
    forwardAuth(credentials, token),
    introspection(credentials, token),
    logout(token),
    misplaced(credentials, token),
  ]
}

/** Characters that a client can send in a header. */
const toHeader = (text: string) => text.replace(/[^\x21-\x7e]/g, '')

function forwardAuth({ key }: FuzzedCredentials, token: fc.Arbitrary<string>) {
  const path = fc.array(segment, { maxLength: 4 }).map((parts) => ['', ...parts].join('/'))
  const scheme = fc.oneof(
    { weight: 8, arbitrary: fc.constant('Bearer ') },
    fc.constantFrom('DPoP ', 'Basic ', ''),
  )
  const successStatus = fc.option(fc.oneof(fc.constant('200'), raw))
  return fc
    .record({
      method: fc.constantFrom(...METHODS_OF_REQUESTS),
      path: fc.tuple(path, parameters(['x'])).map((parts) => parts.join('')),
      scheme,
      token,
      successStatus,
      extraHeaders,
      payload: fc.option(raw, { nil: undefined }),
    })
    .map(({ method, path, payload, ...drawn }): FuzzedRequest => {
      const headers = {
        ...drawn.extraHeaders,
        'x-last-logout-key': key,
        authorization: drawn.scheme + toHeader(drawn.token),
        ...(drawn.successStatus !== null && {
          'x-last-logout-success-status': drawn.successStatus,
        }),
      }
      return { method, url: `/v1/forward-auth${path}`, payload, headers }
    })
}

/** Generates forms: some of the parameters, once or twice, sometimes corrupted. */
function form(tokenName: string, token: fc.Arbitrary<string>, others: string[]) {
  const field = fc.oneof(
    { weight: 3, arbitrary: fc.tuple(fc.constant(tokenName), token) },
    { weight: 1, arbitrary: fc.tuple(fc.constantFrom(...others), anyString) },
  )
  const intact = fc
    .tuple(fc.tuple(fc.constant(tokenName), token), fc.array(field, { maxLength: 3 }))
    .map(([first, rest]) => `${new URLSearchParams([first, ...rest])}`)
  return fc.oneof({ weight: 4, arbitrary: intact }, { weight: 1, arbitrary: corrupted(intact) })
}

function introspection({ key }: FuzzedCredentials, token: fc.Arbitrary<string>) {
  const type = fc.oneof(
    { weight: 6, arbitrary: fc.constant(FORM) },
    fc.constantFrom('application/json', ''),
    raw,
  )
  return fc
    .record({ payload: form('token', token, ['token_type_hint', 'x']), type, extraHeaders })
    .map(({ payload, type, extraHeaders }): FuzzedRequest => {
      const headers = { ...extraHeaders, 'content-type': type, authorization: `Bearer ${key}` }
      return { method: 'POST', url: '/v1/introspect', payload, headers }
    })
}

/** Generates requests whose body is a token, where the API expects claims or ids. */
function misplaced({ key }: FuzzedCredentials, token: fc.Arbitrary<string>) {
  const body = fc.oneof(
    token,
    token.map((text) => JSON.stringify(text)),
    corrupted(token.map((text) => JSON.stringify({ claims: text, user_id: [text] }))),
    corrupted(token.map((text) => JSON.stringify({ claims: { sub: 'auth0|1', iat: text } }))),
  )
  const paths = ['/v1/check', '/console/data/explain', '/v1/logouts', '/v1/introspect']
  return fc
    .record({ url: fc.constantFrom(...paths), payload: body })
    .map((drawn): FuzzedRequest => {
      const headers = { 'content-type': 'application/json', authorization: `Bearer ${key}` }
      return { method: 'POST', ...drawn, headers }
    })
}

function logout(token: fc.Arbitrary<string>) {
  const fields = form('id_token_hint', token, [
    'client_id',
    'post_logout_redirect_uri',
    'state',
    'logout_hint',
    'ui_locales',
    'federated',
  ])
  return fc
    .record({ method: fc.constantFrom('GET', 'POST', 'HEAD'), fields, query: fc.option(fields) })
    .chain((drawn) => fc.record({ drawn: fc.constant(drawn), extraHeaders }))
    .map(({ drawn: { method, fields, query }, extraHeaders }): FuzzedRequest => {
      if (method === 'POST') {
        const url = `/logout${query === null ? '' : `?${toHeader(query)}`}`
        const headers = { ...extraHeaders, 'content-type': FORM }
        return { method, url, payload: fields, headers }
      }
      return {
        method,
        url: `/logout?${toHeader(fields)}`,
        payload: undefined,
        headers: extraHeaders,
      }
    })
}
