import { ManagementClient, ManagementError } from 'auth0'
import { aborted, LastLogoutError } from '../errors.js'

/** How long one request may take, its body included, in milliseconds. */
const REQUEST_TIMEOUT_MS = 30_000

/** How the Management API is reached. */
export interface ManagementApiOptions {
  /** The tenant's canonical domain, a bare host name. */
  domain: string
  /** Where the tenant is reached; differs from `https://{domain}` behind a proxy or in tests. */
  baseUrl: string
  clientId: string
  clientSecret: string
}

/** The Management API, authenticated. */
export interface ManagementApi {
  /**
   * GET `/api/v2/{path}`. Renews the token once when it is refused. Throws `AUTH0_CREDENTIALS`,
   * `AUTH0_SCOPE`, `AUTH0_RATE_LIMIT`, `AUTH0_UNAVAILABLE` or `ABORTED`; other answers are returned.
   */
  get(path: string, signal: AbortSignal): Promise<Response>
}

/** The Management API through Auth0's SDK, which gets, caches and renews the token. */
export function createManagementApi(options: ManagementApiOptions): ManagementApi {
  let client = createClient(options)

  const send = async (path: string, signal: AbortSignal): Promise<Response> => {
    const init = { signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]) }
    try {
      // An absolute URL: of a relative one the SDK escapes the question mark.
      return await client.fetch(`https://${options.domain}/api/v2/${path}`, init, { maxRetries: 0 })
    } catch (error) {
      throw signal.aborted ? aborted(error) : translate(error, options)
    }
  }

  return {
    async get(path, signal) {
      let response = await send(path, signal)
      if (response.status === 401) {
        await response.body?.cancel()
        client = createClient(options)
        response = await send(path, signal)
      }
      if (response.status === 401) throw refused(401, options)
      if (response.status === 403) throw scopeMissing(options)
      return response
    },
  }
}

function createClient({ domain, baseUrl, clientId, clientSecret }: ManagementApiOptions) {
  const origin = `https://${domain}`
  return new ManagementClient({
    domain,
    clientId,
    clientSecret,
    // Whoever answers with a redirect is not the Management API, and shall not be sent the token.
    fetch: (url, init) =>
      fetch(String(url).replace(origin, baseUrl), { ...init, redirect: 'manual' }),
  })
}

function translate(error: unknown, options: ManagementApiOptions): LastLogoutError {
  const status = error instanceof ManagementError ? error.statusCode : undefined
  if (status === 401 || status === 403) return refused(status, options, error)
  if (status === 429) {
    return new LastLogoutError('AUTH0_RATE_LIMIT', 'Auth0 limits the rate of token requests', {
      status,
      cause: error,
    })
  }
  return new LastLogoutError(
    'AUTH0_UNAVAILABLE',
    status === undefined
      ? `${options.baseUrl} cannot be reached: check AUTH0_DOMAIN, and the network from here to it`
      : `the token request to ${options.baseUrl} was answered with ${status}`,
    { cause: error, ...(status !== undefined && { status }) },
  )
}

function refused(status: number, options: ManagementApiOptions, cause?: unknown): LastLogoutError {
  return new LastLogoutError(
    'AUTH0_CREDENTIALS',
    `${options.domain} refuses the client credentials: check AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET, and that this ` +
      'machine-to-machine application is authorized for the Auth0 Management API with read:logs and read:logs_users',
    { status, cause },
  )
}

function scopeMissing(options: ManagementApiOptions): LastLogoutError {
  return new LastLogoutError(
    'AUTH0_SCOPE',
    `the application may not read the logs of ${options.domain}: grant it the scopes read:logs and read:logs_users ` +
      'of the Auth0 Management API (Dashboard > Applications > the application > APIs)',
    { status: 403 },
  )
}
