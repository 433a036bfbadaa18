import { METHODS } from 'node:http'
import fc from 'fast-check'
import type { FuzzedCredentials, FuzzedRequest } from './requests.js'
import { anyString, corrupted, extraHeaders, parameters, raw, segment } from './values.js'

const FORM = 'application/x-www-form-urlencoded'

/** The methods of requests with a path. `CONNECT` has no path. */
const METHODS_WITH_PATH = METHODS.filter((method) => method !== 'CONNECT')

/** Generates requests with tokens of users: requests of gateways, and requests to `/logout`. */
export function tokenRequests(credentials: FuzzedCredentials): fc.Arbitrary<FuzzedRequest>[] {
  const token = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...credentials.tokensOfUsers) },
    { weight: 1, arbitrary: corrupted(fc.constantFrom(...credentials.tokensOfUsers)) },
    { weight: 1, arbitrary: anyString },
  )
  return [
    forwardAuthRequests(credentials, token),
    introspectionRequests(credentials, token),
    logoutRequests(token),
    misplacedTokenRequests(credentials, token),
  ]
}

/** Removes the characters that a client cannot send in a header. */
const toHeaderValue = (text: string) => text.replace(/[^\x21-\x7e]/g, '')

function forwardAuthRequests({ key }: FuzzedCredentials, token: fc.Arbitrary<string>) {
  const path = fc.array(segment, { maxLength: 4 }).map((parts) => ['', ...parts].join('/'))
  const scheme = fc.oneof(
    { weight: 8, arbitrary: fc.constant('Bearer ') },
    fc.constantFrom('DPoP ', 'Basic ', ''),
  )
  const successStatus = fc.option(fc.oneof(fc.constant('200'), raw))
  return fc
    .record({
      method: fc.constantFrom(...METHODS_WITH_PATH),
      path: fc.tuple(path, parameters(['x'])).map((parts) => parts.join('')),
      scheme,
      token,
      successStatus,
      extraHeaders,
      payload: fc.option(raw, { nil: undefined }),
    })
    .map(({ method, path, payload, ...generated }): FuzzedRequest => {
      const headers = {
        ...generated.extraHeaders,
        'x-last-logout-key': key,
        authorization: generated.scheme + toHeaderValue(generated.token),
        ...(generated.successStatus !== null && {
          'x-last-logout-success-status': generated.successStatus,
        }),
      }
      return { method, url: `/v1/forward-auth${path}`, payload, headers }
    })
}

/** Generates forms with a token and some other parameters, which can be repeated. Some forms are corrupted. */
function form(tokenName: string, token: fc.Arbitrary<string>, otherNames: string[]) {
  const field = fc.oneof(
    { weight: 3, arbitrary: fc.tuple(fc.constant(tokenName), token) },
    { weight: 1, arbitrary: fc.tuple(fc.constantFrom(...otherNames), anyString) },
  )
  const intact = fc
    .tuple(fc.tuple(fc.constant(tokenName), token), fc.array(field, { maxLength: 3 }))
    .map(([tokenField, otherFields]) => `${new URLSearchParams([tokenField, ...otherFields])}`)
  return fc.oneof({ weight: 4, arbitrary: intact }, { weight: 1, arbitrary: corrupted(intact) })
}

function introspectionRequests({ key }: FuzzedCredentials, token: fc.Arbitrary<string>) {
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
function misplacedTokenRequests({ key }: FuzzedCredentials, token: fc.Arbitrary<string>) {
  const body = fc.oneof(
    token,
    token.map((text) => JSON.stringify(text)),
    corrupted(token.map((text) => JSON.stringify({ claims: text, user_id: [text] }))),
    corrupted(token.map((text) => JSON.stringify({ claims: { sub: 'auth0|1', iat: text } }))),
  )
  const paths = ['/v1/check', '/console/data/explain', '/v1/logouts', '/v1/introspect']
  return fc
    .record({ url: fc.constantFrom(...paths), payload: body })
    .map((generated): FuzzedRequest => {
      const headers = { 'content-type': 'application/json', authorization: `Bearer ${key}` }
      return { method: 'POST', ...generated, headers }
    })
}

function logoutRequests(token: fc.Arbitrary<string>) {
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
    .chain((generated) => fc.record({ generated: fc.constant(generated), extraHeaders }))
    .map(({ generated: { method, fields, query }, extraHeaders }): FuzzedRequest => {
      if (method === 'POST') {
        const url = `/logout${query === null ? '' : `?${toHeaderValue(query)}`}`
        const headers = { ...extraHeaders, 'content-type': FORM }
        return { method, url, payload: fields, headers }
      }
      return {
        method,
        url: `/logout?${toHeaderValue(fields)}`,
        payload: undefined,
        headers: extraHeaders,
      }
    })
}
