import { LastLogoutError } from '../errors.js'
import { describeTlsFailure } from '../tls.js'
import { type ApplicationCredentials, credentialsRefusedError } from './credentials-refused.js'
import { ProxyFailure, type ProxyOptions } from './proxy-fetch.js'
import { waitAfterRefusal } from './rate/limit.js'

/** The domain of the tenant, and the route to its Management API. */
interface Address {
  domain: string
  baseUrl: string
  proxy?: ProxyOptions | undefined
}

/** Auth0 refused the access token (401), or the token lacks a scope (403). */
export class TokenRefused extends Error {
  override readonly name = 'TokenRefused'
  readonly status: number

  constructor(status: number) {
    super(`Auth0 refused the access token (${status}).`)
    this.status = status
  }
}

/** Advice for a response that probably does not come from Auth0. */
export const CHECK_NETWORK_ADVICE =
  'Check AUTH0_DOMAIN (and AUTH0_BASE_URL, if set), and what is between this host and Auth0, such as a proxy or a captive portal.'

/** Advice after a 429. */
const RATE_LIMIT_ADVICE =
  'The request is retried once Auth0 allows it. If this persists, find out what else calls the Management API of this tenant, or lower RATE_SHARE.'

/**
 * Throws an error for a 401, a 403 and a redirect, and for every status but 200 of a token request. The callers judge
 * the other statuses.
 */
export function assertUsableStatus(
  { status, headers }: Response,
  isTokenRequest: boolean,
  address: Address & ApplicationCredentials,
): void {
  if (status === 401 || status === 403) {
    if (!isJson(headers)) throw refusedByProxyError(status, headers, address)
    throw isTokenRequest ? credentialsRefusedError(status, address) : new TokenRefused(status)
  }
  if (isTokenRequest && status === 429) throw rateLimitError('A token request', headers)
  if ((isTokenRequest && status !== 200) || (status >= 300 && status < 400)) {
    const what = isTokenRequest ? 'The token request' : 'The request'
    if (isTokenRequest && status === 404) throw noTenantError(address)
    throw badStatusError(`${what} to ${address.baseUrl}`, status)
  }
}

/** Converts an error of `fetch`. Returns an error of ours unchanged. */
export function translateFetchError(error: unknown, address: Address): Error {
  if (error instanceof LastLogoutError || error instanceof TokenRefused) return error
  return unreachableError(address, error)
}

/** Creates the error after a 429. Its `retryAfterMs` is the minimum time before a retry. */
export function rateLimitError(what: string, headers: Headers): LastLogoutError {
  const message = `${what} exceeded the rate limit of Auth0 (429). ${RATE_LIMIT_ADVICE}`
  const retryAfterMs = waitAfterRefusal(headers)
  return new LastLogoutError('AUTH0_RATE_LIMIT', message, { status: 429, retryAfterMs })
}

/** Whether a message may quote the value: a short word, which contains no secret. */
export function isWord(value: unknown): value is string {
  return typeof value === 'string' && /^\w{1,60}$/.test(value)
}

function isJson(headers: Headers): boolean {
  return /^application\/(\w+\+)?json\b/i.test(headers.get('content-type') ?? '')
}

function readContentType(headers: Headers): string {
  const [type = 'no content type'] = /^[\w/.+-]{1,60}/.exec(headers.get('content-type') ?? '') ?? []
  return type
}

/** Creates the error after a 401 or 403 without JSON. Auth0 always sends JSON, so another server has responded. */
function refusedByProxyError(
  status: number,
  headers: Headers,
  { baseUrl }: Address,
): LastLogoutError {
  const message =
    `A request to ${baseUrl} was refused with status ${status} and ${readContentType(headers)}, but Auth0 responds with JSON. ` +
    `A firewall, a proxy or a content filter between this host and Auth0 has refused it: allow requests to ${baseUrl} there, and check AUTH0_BASE_URL, if set.`
  return new LastLogoutError('AUTH0_UNAVAILABLE', message, { status })
}

/** Creates the error after a token response of status 200 without a token. `error` is the `error` field of the body. */
export function noTokenError(baseUrl: string, headers: Headers, error: unknown): LastLogoutError {
  const why = isWord(error) ? `error ${error}` : readContentType(headers)
  return new LastLogoutError(
    'AUTH0_UNAVAILABLE',
    `The token request to ${baseUrl} returned status 200 without a token (${why}). ${CHECK_NETWORK_ADVICE}`,
    { status: 200 },
  )
}

/** Creates the error after an unexpected status of Auth0, or of a proxy between this host and Auth0. */
export function badStatusError(what: string, status: number): LastLogoutError {
  const message = `${what} failed with status ${status}. ${adviceAfter(status)}`
  return new LastLogoutError('AUTH0_UNAVAILABLE', message, { status })
}

/** Creates the error after a 404 to a token request. */
function noTenantError({ baseUrl, domain }: Address): LastLogoutError {
  const message =
    `The token request to ${baseUrl} failed with status 404: there is no tenant ${domain} at this address. Set AUTH0_DOMAIN to the domain of the ` +
    'tenant, its region included (Dashboard > Applications > the application > Settings > Domain), and check AUTH0_BASE_URL, if set.'
  return new LastLogoutError('AUTH0_UNAVAILABLE', message, { status: 404 })
}

function adviceAfter(status: number): string {
  if (status >= 500) {
    return 'If this persists, check the status page of Auth0, and what is between this host and Auth0.'
  }
  const isRedirect = status >= 300 && status < 400
  return isRedirect ? `Redirects are not followed. ${CHECK_NETWORK_ADVICE}` : CHECK_NETWORK_ADVICE
}

/** Creates the error after a response that is not a page of the log. `why` must not quote the response. */
export function malformedPageError(why: string): LastLogoutError {
  const message = `The response to a log request is not a page of logs: ${why}. ${CHECK_NETWORK_ADVICE}`
  return new LastLogoutError('AUTH0_MALFORMED_PAGE', message)
}

/** Creates the error after a response that is larger than allowed. `what` names the request. */
export function tooLargeError(what: string, bytes: number): LastLogoutError {
  const message = `The response to ${what} is larger than ${bytes / 1024 ** 2} MiB. ${CHECK_NETWORK_ADVICE}`
  return new LastLogoutError('AUTH0_MALFORMED_PAGE', message)
}

/** Creates the error after a response that was not complete before the timeout. */
export function timeoutError(timeoutMs: number, { baseUrl, proxy }: Address): LastLogoutError {
  const [route, destination] = proxy
    ? [` through the proxy ${proxy.url}`, 'the proxy, and from there to Auth0']
    : ['', 'that address']
  const message = `The request to ${baseUrl}${route} timed out after ${timeoutMs / 1000} s. Check the network from this host to ${destination}.`
  return new LastLogoutError('AUTH0_UNAVAILABLE', message)
}

const CHECK_VARIABLES = 'Check AUTH0_DOMAIN (and AUTH0_BASE_URL, if set)'

function unreachableError({ baseUrl, proxy }: Address, cause: unknown): LastLogoutError {
  const failure = Object(cause).cause
  const message =
    proxy && failure instanceof ProxyFailure
      ? describeProxyFailure(failure, proxy, new URL(baseUrl).host)
      : describeFailure(baseUrl, Object(failure).code)
  return new LastLogoutError('AUTH0_UNAVAILABLE', message, { cause })
}

function describeFailure(baseUrl: string, code: unknown): string {
  const tlsFailure = describeTlsFailure(code)
  if (tlsFailure !== null) {
    return `${tlsFailure} for ${baseUrl} (${code}). ${CHECK_VARIABLES}. Behind a proxy that terminates TLS, set NODE_EXTRA_CA_CERTS to its CA certificate.`
  }
  const why = isWord(code) ? ` (${code})` : ''
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    return `The host name of ${baseUrl} cannot be resolved${why}. ${CHECK_VARIABLES}, and the DNS of this host.`
  }
  return `${baseUrl} cannot be reached, or closed the connection during the response${why}. ${CHECK_VARIABLES}, and the network from this host to it.`
}

function describeProxyFailure(
  { status, cause }: ProxyFailure,
  { url, authorization }: ProxyOptions,
  host: string,
): string {
  const name = `The proxy ${url} of HTTPS_PROXY`
  const direct = `add ${host} to NO_PROXY to connect without it`
  if (status === 407) {
    const why = authorization === undefined ? 'requires credentials' : 'refused the credentials'
    return `${name} ${why} (407). Set them in HTTPS_PROXY, as in http://user:password@proxy.example:3128.`
  }
  if (status !== null) {
    return `${name} refused to connect to ${host} (${status}). Allow this host there, or ${direct}.`
  }
  const { code } = Object(cause)
  const why = isWord(code) ? ` (${code})` : ''
  return `${name} cannot be reached, or closed the connection${why}. Check HTTPS_PROXY and the proxy, or ${direct}.`
}
