import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import { createManagementApi } from '../../src/auth0/management-api.js'
import * as faults from '../../src/simulator/faults.js'
import { ACTION_SCOPES } from '../_support/actions.js'
import { DOMAIN, openTenant } from '../_support/tenant.js'

const { signal } = new AbortController()
const PATH = 'logs?per_page=1'

/**
 * Opens a tenant whose Logs API responds with a fault to the first request. Returns a Management API with the default
 * limits, and a promise that resolves when the tenant has received the request.
 */
async function openApi(respond: faults.FaultHandler) {
  const testTenant = await openTenant()
  onTestFinished(() => testTenant.close())
  const requestReceived = new Promise<void>((resolve) => {
    testTenant.simulator.faults.push({
      path: '/api/v2/logs',
      respond: (reply) => {
        resolve()
        return respond(reply)
      },
    })
  })
  const { url, credentials } = testTenant.simulator
  const api = createManagementApi({ domain: DOMAIN, baseUrl: url, ...credentials })
  return { api, requestReceived }
}

afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

test('a request without a response times out after 30 s', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const { api, requestReceived } = await openApi(faults.hang())
  const onSettled = vi.fn()
  const request = api.get(PATH, signal).finally(onSettled)
  request.catch(() => {})
  await requestReceived
  vi.advanceTimersByTime(29_999)
  await nextTurn()
  expect(onSettled).not.toHaveBeenCalled()
  vi.advanceTimersByTime(1)
  await expect(request).rejects.toMatchObject({
    code: 'AUTH0_UNAVAILABLE',
    message: expect.stringContaining('timed out after 30 s'),
  })
})

test('a request whose response does not end is aborted at 64 MiB', async () => {
  const { api } = await openApi(faults.endlessBody())
  await expect(api.get(PATH, signal)).rejects.toMatchObject({
    code: 'AUTH0_MALFORMED_PAGE',
    message: expect.stringMatching(/^The response to a log request is larger than 64 MiB\. Check/),
  })
})

test.each([
  ['/oauth/token', 'the token request'],
  ['/api/v2/actions/actions', 'a request for Actions'],
])('the error for a response that is too large from %s names %s', async (path, what) => {
  const { simulator, close } = await openTenant({}, { scopes: ACTION_SCOPES })
  onTestFinished(close)
  simulator.faults.push({ path, respond: faults.endlessBody() })
  const options = { domain: DOMAIN, baseUrl: simulator.url, ...simulator.credentials }
  const api = createManagementApi({ ...options, maxBodyBytes: 1024 ** 2 })
  await expect(
    api.call('read:actions', (client) => client.actions.list(), signal),
  ).rejects.toMatchObject({
    code: 'AUTH0_MALFORMED_PAGE',
    message: expect.stringContaining(`The response to ${what} is larger than 1 MiB.`),
  })
})

test('a timeout and an abort end a request even if fetch ignores its signal', async () => {
  const fetchWithoutResponse = vi.fn(() => new Promise<never>(() => {}))
  vi.stubGlobal('fetch', fetchWithoutResponse)
  const options = {
    domain: DOMAIN,
    baseUrl: 'https://tenant.invalid',
    clientId: '',
    clientSecret: '',
  }
  const apiWithShortTimeout = createManagementApi({ ...options, requestTimeoutMs: 50 })
  await expect(apiWithShortTimeout.get(PATH, signal)).rejects.toThrow('timed out after 0.05 s')
  expect(fetchWithoutResponse).toHaveBeenCalledTimes(1)

  const stop = new AbortController()
  const request = createManagementApi(options).get(PATH, stop.signal)
  await expect.poll(() => fetchWithoutResponse.mock.calls.length).toBe(2)
  stop.abort()
  await expect(request).rejects.toMatchObject({ code: 'ABORTED' })
})
