import { ManagementClient, ManagementError } from 'auth0'
import { withAbort } from '../abort.js'
import { aborted, LastLogoutError } from '../errors.js'
import { waitAfterRefusal } from './rate-budget.js'

/** How long one request may take, its body included, in milliseconds. */
const REQUEST_TIMEOUT_MS = 30_000

/** The largest answer that is read: a hundred entries of the size that Auth0 allows stay far below. */
const MAX_BODY_BYTES = 64 * 1024 * 1024

/** How the Management API is reached. */
export interface ManagementApiOptions {
  /** The tenant's canonical domain, a bare host name. */
  domain: string
  /** Where the tenant is reached; differs from `https://{domain}` behind a proxy or in tests. */
  baseUrl: string
  clientId: string
  clientSecret: string
  /** Told the scopes of each token that is granted; `null`: the grant does not name them. */
  onGrant?: (scopes: string[] | null) => void
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

/** What is asked of Auth0's SDK. */
export type SdkRequest<T> = (client: ManagementClient) => Promise<T>

/** Auth0's SDK with a token of its own, which it gets and caches. Makes one request at a time. */
export interface SdkClient {
  /**
   * Throws `TokenRefused`, or an error of ours that holds nothing of an answer:
   * `AUTH0_CREDENTIALS`, `AUTH0_RATE_LIMIT`, `AUTH0_REFUSED`, `AUTH0_UNAVAILABLE` or `ABORTED`.
   */
  send<T>(request: SdkRequest<T>, signal: AbortSignal): Promise<T>
}

/** Makes the SDK's client: it neither retries nor follows redirects, and ends in time. */
export function createSdkClient(options: ManagementApiOptions): SdkClient {
  const { domain, baseUrl, clientId, clientSecret } = options
  const origin = `https://${domain}`
  let current = new AbortController().signal

  const client = new ManagementClient({
    domain,
    clientId,
    clientSecret,
    maxRetries: 0,
    fetch: async (url, init) => {
      const address = String(url)
      const response = await fetch(address.replace(origin, baseUrl), {
        ...init,
        // Whoever answers with a redirect is not the Management API, and shall not be sent the token.
        redirect: 'manual',
        // The SDK gives its token request a signal of its own, which knows nothing of ours.
        signal: current,
      })
      const body = await readBody(response, current)
      const isToken = address === `${origin}/oauth/token`
      assertAnswered(response, isToken, options)
      if (isToken) options.onGrant?.(readScopes(body))
      return new Response(body, { status: response.status, headers: response.headers })
    },
  })

  return {
    async send(request, signal) {
      try {
        return await withAbort(signal, async (controller) => {
          const late = setTimeout(() => controller.abort(), REQUEST_TIMEOUT_MS)
          current = controller.signal
          return request(client).finally(() => clearTimeout(late))
        })
      } catch (error) {
        throw signal.aborted ? aborted(error) : translate(error, options)
      }
    },
  }
}

/** Judges an answer here, where its status is known: of some, the SDK would keep the whole text. */
function assertAnswered(
  { status, headers }: Response,
  isToken: boolean,
  options: ManagementApiOptions,
): void {
  if (isToken && (status === 401 || status === 403)) throw credentialsRefused(status, options)
  if (status === 401 || status === 403) throw new TokenRefused(status)
  if (isToken && status === 429) {
    const message = 'Auth0 limits the rate of token requests'
    const retryAfterMs = waitAfterRefusal(headers)
    throw new LastLogoutError('AUTH0_RATE_LIMIT', message, { status, retryAfterMs })
  }
  if ((isToken && status !== 200) || (status >= 300 && status < 400)) {
    const what = isToken ? 'the token request to' : 'a request to'
    const message = `${what} ${options.baseUrl} was answered with ${status}`
    throw new LastLogoutError('AUTH0_UNAVAILABLE', message, { status })
  }
}

/** RFC 6749 §5.1. An answer that is no JSON is the SDK's to refuse. */
function readScopes(body: Buffer | null): string[] | null {
  try {
    const { scope } = Object(JSON.parse(String(body)))
    return typeof scope === 'string' ? scope.split(' ').filter((name) => name !== '') : null
  } catch {
    return null
  }
}

/**
 * Not by the signal of `fetch` alone: on Node 20 that can be forgotten at a garbage collection, and
 * the reading would never end.
 */
async function readBody(response: Response, signal: AbortSignal): Promise<Buffer | null> {
  const reader = response.body?.getReader()
  if (reader === undefined) return null
  const cancel = () => void reader.cancel().catch(() => {})
  signal.addEventListener('abort', cancel)
  try {
    const chunks: Uint8Array[] = []
    let bytes = 0
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      bytes += part.value.byteLength
      if (bytes > MAX_BODY_BYTES) throw tooLarge()
      chunks.push(part.value)
    }
    signal.throwIfAborted()
    return Buffer.concat(chunks)
  } finally {
    signal.removeEventListener('abort', cancel)
    cancel()
  }
}

function tooLarge(): LastLogoutError {
  const message = `an answer of more than ${MAX_BODY_BYTES} bytes`
  return new LastLogoutError('AUTH0_MALFORMED_PAGE', message)
}

/** The SDK's errors hold the answer's whole text: they are not kept. */
function translate(error: unknown, options: ManagementApiOptions): Error {
  // What is thrown within `fetch` comes back as the cause of an error of the SDK.
  for (const ours of [error, error instanceof Error ? error.cause : undefined]) {
    if (ours instanceof LastLogoutError || ours instanceof TokenRefused) return ours
  }
  const { statusCode: status, rawResponse, body } = error instanceof ManagementError ? error : {}
  if (status === undefined || rawResponse === undefined) {
    // What JSON.parse says quotes the text, and that may be the token's.
    return unreachable(options, error instanceof SyntaxError ? undefined : error)
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
  return typeof errorCode === 'string' && /^\w{1,60}$/.test(errorCode) ? ` (${errorCode})` : ''
}

function unreachable({ baseUrl }: ManagementApiOptions, cause: unknown): LastLogoutError {
  return new LastLogoutError(
    'AUTH0_UNAVAILABLE',
    `${baseUrl} cannot be reached, or its answer broke off: check AUTH0_DOMAIN (and AUTH0_BASE_URL, if you set it), and the network from here to it`,
    { cause },
  )
}

/** The tenant gives no token, or none that its API takes. */
export function credentialsRefused(
  status: number,
  { domain }: ManagementApiOptions,
): LastLogoutError {
  return new LastLogoutError(
    'AUTH0_CREDENTIALS',
    `${domain} refuses the client credentials: check AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET, and that this ` +
      'machine-to-machine application is authorized for the Auth0 Management API with read:logs and read:logs_users',
    { status },
  )
}
