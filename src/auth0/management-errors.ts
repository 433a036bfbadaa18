import { ManagementError } from 'auth0'
import { LastLogoutError } from '../errors.js'
import { waitAfterRefusal } from './rate/limit.js'

/** Whose API it is, and where it is reached. */
interface Address {
  domain: string
  baseUrl: string
}

/** The API refuses the token (401), or what the token may do (403). */
export class TokenRefused extends Error {
  override readonly name = 'TokenRefused'
  readonly status: number

  constructor(status: number) {
    super(`the token is refused (${status})`)
    this.status = status
  }
}

/** What there is to look at when something else than Auth0 seems to answer. */
const CHECK_THE_WAY =
  'check AUTH0_DOMAIN (and AUTH0_BASE_URL, if you set it), and what is between here and Auth0, such as a proxy or the login page of a network'

/** What there is to do about a rate limit: nothing but wait, unless it lasts. */
export const RATE_LIMIT_HINT =
  'we wait as long as it says; if this lasts, see what else calls its Management API, or lower RATE_SHARE'

/** Judges an answer here, where its status is known: of some, the SDK would keep the whole text. */
export function assertAnswered(
  { status, headers }: Response,
  isToken: boolean,
  address: Address,
): void {
  if (isToken && (status === 401 || status === 403)) throw credentialsRefused(status, address)
  if (status === 401 || status === 403) throw new TokenRefused(status)
  if (isToken && status === 429) {
    const message = `Auth0 limits the rate of token requests: ${RATE_LIMIT_HINT}`
    const retryAfterMs = waitAfterRefusal(headers)
    throw new LastLogoutError('AUTH0_RATE_LIMIT', message, { status, retryAfterMs })
  }
  if ((isToken && status !== 200) || (status >= 300 && status < 400)) {
    const what = isToken ? 'the token request to' : 'a request to'
    throw badStatus(`${what} ${address.baseUrl}`, status)
  }
}

/** The SDK's errors hold the answer's whole text: they are not kept. */
export function translate(error: unknown, address: Address): Error {
  if (error instanceof LastLogoutError || error instanceof TokenRefused) return error
  const { statusCode: status, rawResponse, body } = error instanceof ManagementError ? error : {}
  if (status === undefined || rawResponse === undefined) {
    // What JSON.parse says quotes the text, and that may be the token's.
    return unreachable(address, error instanceof SyntaxError ? undefined : error)
  }
  if (status === 429) {
    const message = `Auth0 limits the rate of requests: ${RATE_LIMIT_HINT}`
    const retryAfterMs = waitAfterRefusal(rawResponse.headers)
    return new LastLogoutError('AUTH0_RATE_LIMIT', message, { status, retryAfterMs })
  }
  const message = `Auth0 answered with ${status}${readErrorCode(body)}`
  return new LastLogoutError(status < 500 ? 'AUTH0_REFUSED' : 'AUTH0_UNAVAILABLE', message, {
    status,
  })
}

/** Auth0's own word for what is wrong. Its sentence is not shown: it may quote what was sent. */
function readErrorCode(body: unknown): string {
  const { errorCode } = Object(body)
  return isWord(errorCode) ? ` (${errorCode})` : ''
}

function isWord(value: unknown): value is string {
  return typeof value === 'string' && /^\w{1,60}$/.test(value)
}

/** A token request was answered with 200 and no token: `error` is the answer's word for why, if it has one. */
export function notGranted(baseUrl: string, headers: Headers, error: unknown): LastLogoutError {
  const [type = 'no content type'] = /^[\w/.+-]{1,60}/.exec(headers.get('content-type') ?? '') ?? []
  const what = isWord(error) ? `the error ${error}` : type
  return new LastLogoutError(
    'AUTH0_UNAVAILABLE',
    `the token request to ${baseUrl} was answered with 200 and no token (${what}): ${CHECK_THE_WAY}`,
    { status: 200 },
  )
}

/** An answer that says nothing of why: the server, or whoever stands before it, is at fault. */
export function badStatus(what: string, status: number): LastLogoutError {
  const message = `${what} was answered with ${status}; ${toDoAfter(status)}`
  return new LastLogoutError('AUTH0_UNAVAILABLE', message, { status })
}

function toDoAfter(status: number): string {
  if (status >= 500) {
    return "if this lasts, see Auth0's status page, and what is between here and Auth0"
  }
  return status < 400 ? `redirects are not followed: ${CHECK_THE_WAY}` : CHECK_THE_WAY
}

/** A page of the log that is none; `why` holds nothing of the answer. */
export function malformedPage(why: string): LastLogoutError {
  const message = `the answer to a log request is not a page of logs: ${why}; ${CHECK_THE_WAY}`
  return new LastLogoutError('AUTH0_MALFORMED_PAGE', message)
}

/** An answer without an end. */
export function tooLarge(bytes: number): LastLogoutError {
  return malformedPage(`it has more than ${bytes / 1024 ** 2} MB`)
}

/** An answer that did not come to its end in time. */
export function tooLate(timeoutMs: number, { baseUrl }: Address): LastLogoutError {
  const message = `${baseUrl} has not answered to the end within ${timeoutMs / 1000} s: check the network from here to it`
  return new LastLogoutError('AUTH0_UNAVAILABLE', message)
}

/** The codes of Node's TLS for a server that is not whom it should be, or does not speak TLS at all. */
const TLS_CODE = /^(ERR_SSL|ERR_TLS|CERT_|EPROTO$|\w*(SELF_SIGNED|UNABLE_TO|ISSUER_CERT|ALTNAME))/

function unreachable({ baseUrl }: Address, cause: unknown): LastLogoutError {
  const code = String(Object(Object(cause).cause).code)
  const message = TLS_CODE.test(code)
    ? `${baseUrl} cannot prove who it is (${code}): check AUTH0_DOMAIN (and AUTH0_BASE_URL, if you set it); behind a proxy that ends TLS, give Node its certificate by NODE_EXTRA_CA_CERTS`
    : `${baseUrl} cannot be reached, or its answer broke off: check AUTH0_DOMAIN (and AUTH0_BASE_URL, if you set it), and the network from here to it`
  return new LastLogoutError('AUTH0_UNAVAILABLE', message, { cause })
}

/** The tenant gives no token, or none that its API takes. */
export function credentialsRefused(status: number, { domain }: Address): LastLogoutError {
  return new LastLogoutError(
    'AUTH0_CREDENTIALS',
    `${domain} refuses the client credentials: check AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET, and that this ` +
      'machine-to-machine application is authorized for the Auth0 Management API',
    { status },
  )
}
