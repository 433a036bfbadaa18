import { AsyncLocalStorage } from 'node:async_hooks'
import { ManagementClient } from 'auth0'
import { withAbort } from '../async/abort.js'
import { aborted } from '../errors.js'
import { assertAnswered, notGranted, tooLarge, tooLate, translate } from './management-errors.js'

/** How long one request may take where nothing else is said, in milliseconds. */
const REQUEST_TIMEOUT_MS = 30_000

/** The largest response that is read by default: a hundred entries of the size that Auth0 allows stay far below. */
const MAX_BODY_BYTES = 64 * 1024 * 1024

/** How the Management API is reached. */
export interface ManagementApiOptions {
  /** The tenant's canonical domain, a bare host name. */
  domain: string
  /** Where the tenant is reached; differs from `https://{domain}` behind a proxy or in tests. */
  baseUrl: string
  clientId: string
  clientSecret: string
  /** How long one request may take, its body included, in milliseconds. Default: 30,000. */
  requestTimeoutMs?: number
  /** The largest response that is read, in bytes. Default: 64 MiB. */
  maxBodyBytes?: number
  /** Told the scopes of each token that is granted; `null`: the grant does not name them. */
  onGrant?: (scopes: string[] | null) => void
}

/** What is asked of Auth0's SDK. */
export type SdkRequest<T> = (client: ManagementClient) => Promise<T>

/** Auth0's SDK with a token of its own, which it gets and caches. */
export interface SdkClient {
  /**
   * Throws `TokenRefused`, or an error of ours that holds nothing of an answer:
   * `AUTH0_CREDENTIALS`, `AUTH0_RATE_LIMIT`, `AUTH0_REFUSED`, `AUTH0_UNAVAILABLE` or `ABORTED`.
   */
  send<T>(request: SdkRequest<T>, signal: AbortSignal): Promise<T>
}

/** One call of {@link SdkClient.send}. */
interface Sending {
  signal: AbortSignal
  /** Why there is no answer for the SDK. */
  failure?: unknown
}

/** What the SDK is told where there is no answer: no server says so. */
const NO_ANSWER = 599

/** Makes the SDK's client: it neither retries nor follows redirects, and ends in time. */
export function createSdkClient(options: ManagementApiOptions): SdkClient {
  const { domain, clientId, clientSecret, requestTimeoutMs = REQUEST_TIMEOUT_MS } = options
  const sendings = new AsyncLocalStorage<Sending>()

  const client = new ManagementClient({
    domain,
    clientId,
    clientSecret,
    maxRetries: 0,
    // Does not throw: the SDK would leave a timer behind, which keeps the process from ending.
    fetch: async (url, init) => {
      const sending = sendings.getStore()
      if (sending === undefined) throw new TypeError('the client is used within `send` only')
      return fetchAnswer(String(url), { ...init, signal: sending.signal }, options).catch(
        (error) => {
          sending.failure = error
          return new Response(null, { status: NO_ANSWER })
        },
      )
    },
  })

  const sendOnce = <T>(request: SdkRequest<T>, sending: Sending) =>
    sendings.run(sending, async () => {
      const result = await request(client).catch((error) => {
        throw sending.failure ?? error
      })
      if (sending.failure !== undefined) throw sending.failure
      return result
    })

  return {
    async send(request, signal) {
      try {
        return await withAbort(signal, async (controller) => {
          const giveUp = () => controller.abort(tooLate(requestTimeoutMs, options))
          const late = setTimeout(giveUp, requestTimeoutMs)
          return sendOnce(request, { signal: controller.signal }).finally(() => clearTimeout(late))
        })
      } catch (error) {
        throw signal.aborted ? aborted(error) : translate(error, options)
      }
    },
  }
}

/** An answer to its end; throws where the token or the way to the API is at fault. */
async function fetchAnswer(
  url: string,
  init: RequestInit & { signal: AbortSignal },
  options: ManagementApiOptions,
): Promise<Response> {
  const origin = `https://${options.domain}`
  const address = url.replace(origin, options.baseUrl)
  // Whoever answers with a redirect is not the Management API, and shall not be sent the token.
  const response = await fetch(address, { ...init, redirect: 'manual' })
  const body = await readBody(response, init.signal, options.maxBodyBytes)
  const isToken = url === `${origin}/oauth/token`
  assertAnswered(response, isToken, options)
  // Read whether or not anybody is told: it throws where there is no token.
  const scopes = isToken ? readScopes(response, body, options) : null
  if (isToken) options.onGrant?.(scopes)
  return new Response(body, { status: response.status, headers: response.headers })
}

/** The scopes of a grant (RFC 6749 §5.1); throws where nothing was granted, whatever the status. */
function readScopes(
  { headers }: Response,
  body: Buffer | null,
  { baseUrl }: ManagementApiOptions,
): string[] | null {
  const { access_token: token, scope, error } = readFields(body)
  if (typeof token !== 'string' || token === '') throw notGranted(baseUrl, headers, error)
  return typeof scope === 'string' ? scope.split(' ').filter((name) => name !== '') : null
}

function readFields(body: Buffer | null): Record<string, unknown> {
  try {
    return Object(JSON.parse(String(body)))
  } catch {
    return {}
  }
}

/**
 * Not by the signal of `fetch` alone: on Node 20 that can be forgotten at a garbage collection, and
 * the reading would never end.
 */
async function readBody(
  response: Response,
  signal: AbortSignal,
  maxBytes = MAX_BODY_BYTES,
): Promise<Buffer | null> {
  const reader = response.body?.getReader()
  if (reader === undefined) return null
  const cancel = () => void reader.cancel().catch(() => {})
  signal.addEventListener('abort', cancel)
  try {
    const chunks: Uint8Array[] = []
    let bytes = 0
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      bytes += part.value.byteLength
      if (bytes > maxBytes) throw tooLarge(maxBytes)
      chunks.push(part.value)
    }
    signal.throwIfAborted()
    return Buffer.concat(chunks)
  } finally {
    signal.removeEventListener('abort', cancel)
    cancel()
  }
}
