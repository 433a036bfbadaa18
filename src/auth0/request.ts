import { unlessAborted } from '../async/abort.js'
import { assertUsableStatus, tooLargeError, translateFetchError } from './management-errors.js'
import { createProxyFetch, type ProxyOptions } from './proxy-fetch.js'

/** The path of the token endpoint. */
export const TOKEN_PATH = '/oauth/token'

/** Default maximum size of a response. It is far larger than a page of a hundred entries of maximum size. */
const MAX_BODY_BYTES = 64 * 1024 * 1024

/** How to reach a tenant, and with which credentials. */
export interface TenantConnection {
  /** The tenant's canonical domain: a host name without `https://`. */
  domain: string
  /** The URL of the Management API: `https://{domain}`, or the URL of a reverse proxy or a simulated tenant. */
  baseUrl: string
  clientId: string
  clientSecret: string
  /** The proxy for connections to `baseUrl`. Default: none. */
  proxy?: ProxyOptions | undefined
  /** Maximum size of a response, in bytes. Default: 64 MiB. */
  maxBodyBytes?: number
}

/** A response, including its complete body. */
export interface ApiResponse {
  status: number
  headers: Headers
  body: string
}

/**
 * Sends a request to a path of the tenant. Does not follow redirects: a redirect does not come from Auth0, and its
 * target must not receive the token.
 *
 * @returns The complete response. Its status is usable, see {@link assertUsableStatus}.
 * @throws `TokenRefused`, or one of the following errors. No message quotes a response: `AUTH0_CREDENTIALS`,
 *   `AUTH0_MALFORMED_PAGE`, `AUTH0_RATE_LIMIT`, `AUTH0_UNAVAILABLE`, `ABORTED`.
 */
export type SendRequest = (
  path: string,
  init: RequestInit & { signal: AbortSignal },
) => Promise<ApiResponse>

/** Creates a function that sends requests to a tenant. */
export function createSendRequest(options: TenantConnection): SendRequest {
  const { baseUrl, proxy, maxBodyBytes = MAX_BODY_BYTES } = options
  const fetchResponse = proxy === undefined ? fetch : createProxyFetch(proxy)

  async function sendRequest(path: string, init: Parameters<SendRequest>[1]): Promise<ApiResponse> {
    try {
      const response = await fetchResponse(baseUrl + path, { ...init, redirect: 'manual' })
      const body = await readBody(response, init.signal, {
        maxBytes: maxBodyBytes,
        what: describeRequest(path),
      })
      assertUsableStatus(response, path === TOKEN_PATH, options)
      return { status: response.status, headers: response.headers, body }
    } catch (error) {
      throw translateFetchError(error, options)
    }
  }

  // A timeout and a shutdown must also work if `fetch` ignores the signal.
  return (path, init) => unlessAborted(sendRequest(path, init), init.signal)
}

/** Names a request for messages. */
function describeRequest(path: string): string {
  if (path === TOKEN_PATH) return 'the token request'
  if (path.startsWith('/api/v2/logs')) return 'a log request'
  return path.startsWith('/api/v2/actions')
    ? 'a request for Actions'
    : 'a request to the Management API'
}

/**
 * Reads the body of a response as text, without a byte order mark, for which `JSON.parse` throws. Cancels the reader
 * when the signal aborts. Without that, the read may never end on Node 20, because garbage collection can remove the
 * signal of `fetch`.
 */
async function readBody(
  response: Response,
  signal: AbortSignal,
  { maxBytes, what }: { maxBytes: number; what: string },
): Promise<string> {
  const reader = response.body?.getReader()
  if (reader === undefined) return ''
  const cancel = () => void reader.cancel().catch(() => {})
  signal.addEventListener('abort', cancel)
  try {
    const chunks: Uint8Array[] = []
    let bytes = 0
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
      bytes += chunk.value.byteLength
      if (bytes > maxBytes) throw tooLargeError(what, maxBytes)
      chunks.push(chunk.value)
    }
    signal.throwIfAborted()
    return Buffer.concat(chunks)
      .toString()
      .replace(/^\uFEFF/, '')
  } finally {
    signal.removeEventListener('abort', cancel)
    cancel()
  }
}
