import { ManagementError } from 'auth0'
import { LastLogoutError } from '../errors.js'
import { describeTlsFailure } from '../tls.js'
import { waitAfterRefusal } from './rate/limit.js'

/** The domain of the tenant, and the URL of its Management API. */
interface Address {
  domain: string
  baseUrl: string
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

/** What to check when the response does not seem to come from Auth0. */
export const CHECK_ROUTE =
  'Check AUTH0_DOMAIN (and AUTH0_BASE_URL, if set), and what is between this host and Auth0, such as a proxy or a captive portal.'

/** What to do about a 429. */
const RATE_LIMIT_ADVICE =
  'The request is retried once Auth0 allows it. If this persists, find out what else calls the Management API of this tenant, or lower RATE_SHARE.'

/** Throws if the SDK must not receive a response with this status. The SDK's own error would keep the whole body. */
export function assertUsableStatus(
  { status, headers }: Response,
  isToken: boolean,
  address: Address,
): void {
  if (isToken && (status === 401 || status === 403)) throw credentialsRefused(status, address)
  if (status === 401 || status === 403) throw new TokenRefused(status)
  if (isToken && status === 429) throw rateLimitExceeded('A token request', headers)
  if ((isToken && status !== 200) || (status >= 300 && status < 400)) {
    const what = isToken ? 'The token request' : 'The request'
    throw badStatus(`${what} to ${address.baseUrl}`, status)
  }
}

/** Translates an error of the SDK to one of ours. The SDK's error is not kept as the cause: it holds the whole body. */
export function translateSdkError(error: unknown, address: Address): Error {
  if (error instanceof LastLogoutError || error instanceof TokenRefused) return error
  const { statusCode: status, rawResponse, body } = error instanceof ManagementError ? error : {}
  if (status === undefined || rawResponse === undefined) {
    // A SyntaxError of `JSON.parse` quotes the body, which can hold the token.
    return unreachable(address, error instanceof SyntaxError ? undefined : error)
  }
  if (status === 429) return rateLimitExceeded('A request', rawResponse.headers)
  if (status >= 500) return badStatus(`A request to ${address.baseUrl}`, status)
  const message = `Auth0 refused a request (${status}${readErrorCode(body)}). See the log of the tenant for the reason.`
  return new LastLogoutError('AUTH0_REFUSED', message, { status })
}

/** The error after a 429. Its `retryAfterMs` is the time to wait. */
export function rateLimitExceeded(what: string, headers: Headers): LastLogoutError {
  const message = `${what} exceeded the rate limit of Auth0 (429). ${RATE_LIMIT_ADVICE}`
  const retryAfterMs = waitAfterRefusal(headers)
  return new LastLogoutError('AUTH0_RATE_LIMIT', message, { status: 429, retryAfterMs })
}

/** The `errorCode` of the body. The `message` of the body is not shown: it can quote what was sent. */
function readErrorCode(body: unknown): string {
  const { errorCode } = Object(body)
  return isWord(errorCode) ? ` ${errorCode}` : ''
}

function isWord(value: unknown): value is string {
  return typeof value === 'string' && /^\w{1,60}$/.test(value)
}

/** The error after a token response with status 200 and without a token. `error`: the field `error` of the body. */
export function notGranted(baseUrl: string, headers: Headers, error: unknown): LastLogoutError {
  const [type = 'no content type'] = /^[\w/.+-]{1,60}/.exec(headers.get('content-type') ?? '') ?? []
  const why = isWord(error) ? `error ${error}` : type
  return new LastLogoutError(
    'AUTH0_UNAVAILABLE',
    `The token request to ${baseUrl} returned status 200 without a token (${why}). ${CHECK_ROUTE}`,
    { status: 200 },
  )
}

/** The error after a response with an unexpected status: the server, or a proxy before it, is at fault. */
export function badStatus(what: string, status: number): LastLogoutError {
  const message = `${what} failed with status ${status}. ${adviceAfter(status)}`
  return new LastLogoutError('AUTH0_UNAVAILABLE', message, { status })
}

function adviceAfter(status: number): string {
  if (status >= 500) {
    return 'If this persists, check the status page of Auth0, and what is between this host and Auth0.'
  }
  return status < 400 ? `Redirects are not followed. ${CHECK_ROUTE}` : CHECK_ROUTE
}

/** The error after a response that is not a page of the log. `why` must quote nothing of the response. */
export function malformedPage(why: string): LastLogoutError {
  const message = `The response to a log request is not a page of logs: ${why}. ${CHECK_ROUTE}`
  return new LastLogoutError('AUTH0_MALFORMED_PAGE', message)
}

/** The error after a response that is larger than allowed. */
export function tooLarge(bytes: number): LastLogoutError {
  return malformedPage(`it is larger than ${bytes / 1024 ** 2} MB`)
}

/** The error after a response that was not complete in time. */
export function timedOut(timeoutMs: number, { baseUrl }: Address): LastLogoutError {
  const message = `The request to ${baseUrl} timed out after ${timeoutMs / 1000} s. Check the network from this host to that address.`
  return new LastLogoutError('AUTH0_UNAVAILABLE', message)
}

const CHECK_VARIABLES = 'Check AUTH0_DOMAIN (and AUTH0_BASE_URL, if set)'

function unreachable({ baseUrl }: Address, cause: unknown): LastLogoutError {
  const { code } = Object(Object(cause).cause)
  return new LastLogoutError('AUTH0_UNAVAILABLE', describeFailure(baseUrl, code), { cause })
}

function describeFailure(baseUrl: string, code: unknown): string {
  const tlsFailure = describeTlsFailure(code)
  if (tlsFailure !== null) {
    return `${tlsFailure} for ${baseUrl} (${code}). ${CHECK_VARIABLES}. Behind a proxy that terminates TLS, set NODE_EXTRA_CA_CERTS to its CA certificate.`
  }
  const why = isWord(code) ? ` (${code})` : ''
  return `${baseUrl} cannot be reached, or closed the connection during the response${why}. ${CHECK_VARIABLES}, and the network from this host to it.`
}

/** The error if the tenant issues no token, or if its API refuses the token that it has issued. */
export function credentialsRefused(status: number, { domain }: Address): LastLogoutError {
  return new LastLogoutError(
    'AUTH0_CREDENTIALS',
    `${domain} refused the client credentials (${status}). Check AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET, and that this ` +
      'machine-to-machine application is authorized for the Auth0 Management API.',
    { status },
  )
}
