import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { createManagementApi } from '../../src/auth0/management-api.js'
import { loadConfig } from '../../src/config/config.js'
import { openConnectProxy } from '../_support/connect-proxy.js'
import { findUnusedPort } from '../_support/port.js'
import { DOMAIN } from '../_support/tenant.js'

const PASSWORD = 'p@ss:word-that-no-message-may-show'
const PATH = 'logs?per_page=1'
const { signal } = new AbortController()

/** Creates a Management API for a tenant that is reachable only through a proxy. */
function openApi(proxyUrl: string, requestTimeoutMs = 10_000) {
  const { auth0 } = loadConfig({ AUTH0_DOMAIN: DOMAIN, HTTPS_PROXY: proxyUrl }, [])
  const credentials = { clientId: 'id', clientSecret: 'secret' }
  const baseUrl = 'https://tenant.invalid'
  return createManagementApi({ ...auth0, baseUrl, ...credentials, requestTimeoutMs })
}

/** Opens a proxy that is closed when the test ends. */
async function openProxy(...options: Parameters<typeof openConnectProxy>) {
  const proxy = await openConnectProxy(...options)
  onTestFinished(() => proxy.close())
  return proxy
}

/** Returns the URL with these credentials, which have the form `user:password`. */
const withCredentials = (url: string, credentials: string) => {
  // Only the first colon separates: a password may contain colons.
  const [user = '', password = ''] = credentials.split(/:(.*)/s)
  return Object.assign(new URL(url), {
    username: encodeURIComponent(user),
    password: encodeURIComponent(password),
  }).href
}

test.each([
  [{ treatment: 403 }, '', /refused to connect to tenant\.invalid \(403\).*NO_PROXY/],
  [{ treatment: 502 }, '', /refused to connect to tenant\.invalid \(502\)/],
  [{ credentials: `me:${PASSWORD}` }, '', /requires credentials \(407\).*HTTPS_PROXY, as in/],
  [{ credentials: `me:${PASSWORD}` }, 'me:wrong', /refused the credentials \(407\)/],
  [{ treatment: 'drop' }, `me:${PASSWORD}`, /closed the connection \(UND_ERR_SOCKET\)/],
] as const)(
  'the error names the proxy, but no password: a proxy with the options %j, a URL with the credentials "%s"',
  async (options, credentials, expectedMessage) => {
    const proxy = await openProxy(options)
    const api = openApi(withCredentials(proxy.url, credentials))
    const error = await api.get(PATH, signal).catch((error: unknown) => error)
    expect(error).toMatchObject({
      code: 'AUTH0_UNAVAILABLE',
      message: expect.stringContaining(`The proxy ${proxy.url} of HTTPS_PROXY`),
    })
    expect(error).toMatchObject({ message: expect.stringMatching(expectedMessage) })
    expect(JSON.stringify([error, String(error)])).not.toContain('no-message-may-show')
    expect(proxy.targets).toEqual(['tenant.invalid:443'])
  },
)

test('the error for an unreachable proxy contains ECONNREFUSED', async () => {
  const url = `http://127.0.0.1:${await findUnusedPort()}`
  await expect(openApi(url).get(PATH, signal)).rejects.toMatchObject({
    code: 'AUTH0_UNAVAILABLE',
    message: expect.stringMatching(`^The proxy ${url} .* \\(ECONNREFUSED\\)`),
  })
})

test.each(['silent', 'silent after 200'] as const)(
  'a request through a proxy that is %s times out, and leaves no connection open',
  async (treatment) => {
    const proxy = await openProxy({ treatment })
    const api = openApi(proxy.url, 200)
    await expect(api.get(PATH, signal)).rejects.toMatchObject({
      code: 'AUTH0_UNAVAILABLE',
      message: expect.stringMatching(`through the proxy ${proxy.url} timed out after 0.2 s`),
    })
    await expect.poll(proxy.connectionCount).toBe(0)
    expect(proxy.targets).toHaveLength(1)
  },
)

test.each(['drop', 'silent', 'silent after 200'] as const)(
  'an abort ends a request immediately, and no request follows: treatment "%s" of the proxy',
  async (treatment) => {
    const proxy = await openProxy({ treatment })
    const stop = new AbortController()
    const request = openApi(proxy.url).get(PATH, stop.signal)
    // If the proxy drops the connection, the request has failed before the abort.
    const failed = expect(request).rejects.toMatchObject({
      code: treatment === 'drop' ? 'AUTH0_UNAVAILABLE' : 'ABORTED',
    })
    await expect.poll(() => proxy.targets.length).toBe(1)
    stop.abort()
    await failed
    await expect.poll(proxy.connectionCount).toBe(0)
    // Within this time, another request would arrive.
    await sleep(100)
    expect(proxy.targets).toHaveLength(1)
  },
)
