import { ManagementClient, ManagementError } from 'auth0'
import { withAbort } from '../abort.js'
import { aborted, LastLogoutError } from '../errors.js'
import { waitAfterRefusal } from './rate-budget.js'

/** How long one request may take, its body included, in milliseconds. */
const REQUEST_TIMEOUT_MS = 30_000

/** The largest answer that is read: a hundred entries of the size that Auth0 allows stay far below. */
const MAX_BODY_BYTES = 64 * 1024 * 1024

/** A refused token is replaced at most this often: each new one is an entry in the tenant's log. */
const RENEWAL_INTERVAL_MS = 60_000

/** How the Management API is reached. */
export interface ManagementApiOptions {
  /** The tenant's canonical domain, a bare host name. */
  domain: string
  /** Where the tenant is reached; differs from `https://{domain}` behind a proxy or in tests. */
  baseUrl: string
  clientId: string
  clientSecret: string
}

/** An answer, read to its end. */
interface Answer {
  status: number
  headers: Headers
  body: string
}

/** The Management API, authenticated. */
export interface ManagementApi {
  /**
   * GET `/api/v2/{path}`. Renews the token when it is refused, as after a scope was granted. Throws
   * `AUTH0_CREDENTIALS`, `AUTH0_SCOPE`, `AUTH0_RATE_LIMIT` (of token requests), `AUTH0_UNAVAILABLE`
   * or `ABORTED`; other answers are returned.
   */
  get(path: string, signal: AbortSignal): Promise<Answer>
}

/** The Management API through Auth0's SDK, which gets, caches and renews the token. */
export function createManagementApi(options: ManagementApiOptions): ManagementApi {
  let client = createClient(options)
  let renewedAt = Number.NEGATIVE_INFINITY

  return {
    async get(path, signal) {
      let answer = await client.get(path, signal)
      const isRefused = answer.status === 401 || answer.status === 403
      if (isRefused && performance.now() - renewedAt > RENEWAL_INTERVAL_MS) {
        renewedAt = performance.now()
        client = createClient(options)
        answer = await client.get(path, signal)
      }
      if (answer.status === 401) throw refused(401, options)
      if (answer.status === 403) throw scopeMissing(options)
      return answer
    },
  }
}

/** A client with a token of its own. Makes one request at a time. */
function createClient(options: ManagementApiOptions) {
  const { domain, baseUrl, clientId, clientSecret } = options
  const origin = `https://${domain}`
  let current: AbortSignal | undefined
  let retryAfterMs: number | undefined

  const client = new ManagementClient({
    domain,
    clientId,
    clientSecret,
    fetch: async (url, init) => {
      const response = await fetch(String(url).replace(origin, baseUrl), {
        ...init,
        // Whoever answers with a redirect is not the Management API, and shall not be sent the token.
        redirect: 'manual',
        // The SDK gives its token request a signal of its own, which knows nothing of ours.
        ...(current && { signal: current }),
      })
      if (response.status === 429) retryAfterMs = waitAfterRefusal(response.headers)
      return response
    },
  })

  const send = async (path: string, controller: AbortController): Promise<Answer> => {
    const late = setTimeout(() => controller.abort(), REQUEST_TIMEOUT_MS)
    current = controller.signal
    try {
      // An absolute URL: of a relative one the SDK escapes the question mark.
      const response = await client.fetch(`${origin}/api/v2/${path}`, {}, { maxRetries: 0 })
      const { status, headers } = response
      return { status, headers, body: await readBody(response, controller.signal) }
    } finally {
      clearTimeout(late)
    }
  }

  return {
    async get(path: string, signal: AbortSignal): Promise<Answer> {
      try {
        return await withAbort(signal, (controller) => send(path, controller))
      } catch (error) {
        throw signal.aborted ? aborted(error) : translate(error, options, retryAfterMs)
      }
    },
  }
}

/**
 * Not by the signal of `fetch` alone: on Node 20 that can be forgotten at a garbage collection, and
 * the reading would never end.
 */
async function readBody(response: Response, signal: AbortSignal): Promise<string> {
  const reader = response.body?.getReader()
  if (reader === undefined) return ''
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
    return Buffer.concat(chunks).toString('utf8')
  } finally {
    signal.removeEventListener('abort', cancel)
    cancel()
  }
}

function tooLarge(): LastLogoutError {
  const message = `an answer of more than ${MAX_BODY_BYTES} bytes`
  return new LastLogoutError('AUTH0_MALFORMED_PAGE', message)
}

/** The SDK's error about a token request holds the answer's whole text: it is not kept. */
function translate(
  error: unknown,
  options: ManagementApiOptions,
  retryAfterMs: number | undefined,
): LastLogoutError {
  if (error instanceof LastLogoutError) return error
  const status = error instanceof ManagementError ? error.statusCode : undefined
  if (status === undefined) return unreachable(options, error)
  if (status === 401 || status === 403) return refused(status, options)
  if (status === 429) {
    const message = 'Auth0 limits the rate of token requests'
    return new LastLogoutError('AUTH0_RATE_LIMIT', message, {
      status,
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    })
  }
  const message = `the token request to ${options.baseUrl} was answered with ${status}`
  return new LastLogoutError('AUTH0_UNAVAILABLE', message, { status })
}

function unreachable({ baseUrl }: ManagementApiOptions, cause: unknown): LastLogoutError {
  return new LastLogoutError(
    'AUTH0_UNAVAILABLE',
    `${baseUrl} cannot be reached, or its answer broke off: check AUTH0_DOMAIN (and AUTH0_BASE_URL, if you set it), and the network from here to it`,
    { cause },
  )
}

function refused(status: number, { domain }: ManagementApiOptions): LastLogoutError {
  return new LastLogoutError(
    'AUTH0_CREDENTIALS',
    `${domain} refuses the client credentials: check AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET, and that this ` +
      'machine-to-machine application is authorized for the Auth0 Management API with read:logs and read:logs_users',
    { status },
  )
}

function scopeMissing({ domain }: ManagementApiOptions): LastLogoutError {
  return new LastLogoutError(
    'AUTH0_SCOPE',
    `the application may not read the logs of ${domain}: grant it the scopes read:logs and read:logs_users ` +
      'of the Auth0 Management API (Dashboard > Applications > the application > APIs)',
    { status: 403 },
  )
}
