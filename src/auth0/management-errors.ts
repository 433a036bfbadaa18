import { ManagementError } from 'auth0'
import { LastLogoutError } from '../errors.js'
import { waitAfterRefusal } from './rate-limit.js'

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

/** Judges an answer here, where its status is known: of some, the SDK would keep the whole text. */
export function assertAnswered(
  { status, headers }: Response,
  isToken: boolean,
  address: Address,
): void {
  if (isToken && (status === 401 || status === 403)) throw credentialsRefused(status, address)
  if (status === 401 || status === 403) throw new TokenRefused(status)
  if (isToken && status === 429) {
    const message = 'Auth0 limits the rate of token requests'
    const retryAfterMs = waitAfterRefusal(headers)
    throw new LastLogoutError('AUTH0_RATE_LIMIT', message, { status, retryAfterMs })
  }
  if ((isToken && status !== 200) || (status >= 300 && status < 400)) {
    const what = isToken ? 'the token request to' : 'a request to'
    const message = `${what} ${address.baseUrl} was answered with ${status}`
    throw new LastLogoutError('AUTH0_UNAVAILABLE', message, { status })
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
    return new LastLogoutError('AUTH0_RATE_LIMIT', 'Auth0 limits the rate of requests', {
      status,
      retryAfterMs: waitAfterRefusal(rawResponse.headers),
    })
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
    `the token request to ${baseUrl} was answered with 200 and no token (${what}): check AUTH0_DOMAIN (and AUTH0_BASE_URL, if you set it), and what is between here and Auth0, such as a proxy or the login page of a network`,
    { status: 200 },
  )
}

function unreachable({ baseUrl }: Address, cause: unknown): LastLogoutError {
  return new LastLogoutError(
    'AUTH0_UNAVAILABLE',
    `${baseUrl} cannot be reached, or its answer broke off: check AUTH0_DOMAIN (and AUTH0_BASE_URL, if you set it), and the network from here to it`,
    { cause },
  )
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
