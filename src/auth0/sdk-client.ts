import { AsyncLocalStorage } from 'node:async_hooks'
import { ManagementClient } from 'auth0'
import { unlessAborted, withAbort } from '../async/abort.js'
import { abortedError } from '../errors.js'
import {
  assertUsableStatus,
  noTokenError,
  timeoutError,
  tooLargeError,
  translateSdkError,
} from './management-errors.js'
import { createProxyFetch, type ProxyOptions } from './proxy-fetch.js'

/** Default timeout of one request, in milliseconds. */
const REQUEST_TIMEOUT_MS = 30_000

/** Default maximum size of a response. It is far larger than a page of a hundred entries of maximum size. */
const MAX_BODY_BYTES = 64 * 1024 * 1024

/** Options of the Management API. */
export interface ManagementApiOptions {
  /** The tenant's canonical domain: a host name without `https://`. */
  domain: string
  /** The URL of the Management API: `https://{domain}`, or the URL of a reverse proxy or a simulated tenant. */
  baseUrl: string
  clientId: string
  clientSecret: string
  /** The proxy for connections to `baseUrl`. Default: none. */
  proxy?: ProxyOptions | undefined
  /** Timeout of one request, including its body, in milliseconds. Default: 30,000. */
  requestTimeoutMs?: number
  /** Maximum size of a response, in bytes. Default: 64 MiB. */
  maxBodyBytes?: number
  /** Called with the scopes of each token that Auth0 issues; `null`: the response contains no scopes. */
  onGrant?: (scopes: string[] | null) => void
}

/**
 * One call of a method of Auth0's SDK. `readText` returns the body of the response. `readText` is faster than `text`
 * of the SDK's response, which copies the body again and decodes it in small steps.
 */
export type SdkRequest<T> = (client: ManagementClient, readText: () => string) => Promise<T>

/** Auth0's SDK. It requests and caches one token. */
export interface SdkClient {
  /**
   * Sends one request.
   *
   * @throws `TokenRefused`, or one of the following errors. No message quotes a response: `AUTH0_CREDENTIALS`,
   *   `AUTH0_MALFORMED_PAGE`, `AUTH0_RATE_LIMIT`, `AUTH0_REFUSED`, `AUTH0_UNAVAILABLE`, `ABORTED`.
   */
  send<T>(request: SdkRequest<T>, signal: AbortSignal): Promise<T>
}

/** The state of one call of {@link SdkClient.send}. */
interface Call {
  signal: AbortSignal
  /** The error of a request without a response. */
  failure?: unknown
  /** The body of the last response; `null`: the response has no body. */
  body?: Buffer | null
}

/** The status from which the SDK sees that there is no response. No server uses this status. */
const NO_RESPONSE = 599

/** Creates an SDK client with a timeout. It neither retries requests nor follows redirects. */
export function createSdkClient(options: ManagementApiOptions): SdkClient {
  const { domain, clientId, clientSecret, proxy, requestTimeoutMs = REQUEST_TIMEOUT_MS } = options
  const send = proxy === undefined ? fetch : createProxyFetch(proxy)
  const calls = new AsyncLocalStorage<Call>()

  const client = new ManagementClient({
    domain,
    clientId,
    clientSecret,
    maxRetries: 0,
    // This function must not reject. Otherwise the SDK would leave a timer running, which keeps the process alive.
    fetch: async (url, init) => {
      const call = calls.getStore()
      if (call === undefined) throw new TypeError('The SDK client was used outside of `send`.')
      const { signal } = call
      const fetching = fetchResponse(send, String(url), { ...init, signal }, options)
      try {
        // The timeout and a shutdown must also work if `fetch` ignores the signal.
        const { response, body } = await unlessAborted(fetching, signal)
        call.body = body
        return response
      } catch (error) {
        call.failure = error
        return new Response(null, { status: NO_RESPONSE })
      }
    },
  })

  const sendOnce = <T>(request: SdkRequest<T>, call: Call) =>
    calls.run(call, async () => {
      // `JSON.parse` throws for a byte order mark.
      const readText = () => String(call.body ?? '').replace(/^\uFEFF/, '')
      const result = await request(client, readText).catch((error) => {
        throw call.failure ?? error
      })
      if (call.failure !== undefined) throw call.failure
      return result
    })

  return {
    async send(request, signal) {
      try {
        return await withAbort(signal, async (controller) => {
          const abort = () => controller.abort(timeoutError(requestTimeoutMs, options))
          const timer = setTimeout(abort, requestTimeoutMs)
          return sendOnce(request, { signal: controller.signal }).finally(() => clearTimeout(timer))
        })
      } catch (error) {
        throw signal.aborted ? abortedError(error) : translateSdkError(error, options)
      }
    },
  }
}

/** Fetches a complete response. Throws for the statuses that {@link assertUsableStatus} rejects. */
async function fetchResponse(
  send: typeof fetch,
  url: string,
  init: RequestInit & { signal: AbortSignal },
  options: ManagementApiOptions,
): Promise<{ response: Response; body: Buffer | null }> {
  const origin = `https://${options.domain}`
  const address = url.replace(origin, options.baseUrl)
  // A redirect does not come from the Management API, and its target must not receive the token.
  const response = await send(address, { ...init, redirect: 'manual' })
  const body = await readBody(response, init.signal, options.maxBodyBytes)
  const isTokenRequest = url === `${origin}/oauth/token`
  assertUsableStatus(response, isTokenRequest, options)
  // Runs even without `onGrant`, because `readScopes` throws if the response contains no token.
  const scopes = isTokenRequest ? readScopes(response, body, options) : null
  if (isTokenRequest) options.onGrant?.(scopes)
  const { status, headers } = response
  return { response: new Response(body, { status, headers }), body }
}

/** Reads the scopes from a token response (RFC 6749 §5.1). Throws if the response contains no token. */
function readScopes(
  { headers }: Response,
  body: Buffer | null,
  { baseUrl }: ManagementApiOptions,
): string[] | null {
  const { access_token: token, scope, error } = readFields(body)
  if (typeof token !== 'string' || token === '') throw noTokenError(baseUrl, headers, error)
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
 * Reads the body of a response. Cancels the reader when the signal aborts. Without that, the read may never end on Node
 * 20, because garbage collection can remove the signal of `fetch`.
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
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
      bytes += chunk.value.byteLength
      if (bytes > maxBytes) throw tooLargeError(maxBytes)
      chunks.push(chunk.value)
    }
    signal.throwIfAborted()
    return Buffer.concat(chunks)
  } finally {
    signal.removeEventListener('abort', cancel)
    cancel()
  }
}
