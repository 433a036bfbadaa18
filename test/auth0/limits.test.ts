import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import { createManagementApi } from '../../src/auth0/management-api.js'
import * as faults from '../../src/simulator/faults.js'
import { DOMAIN, openTenant } from '../_support/tenant.js'

const { signal } = new AbortController()
const PATH = 'logs?per_page=1'

/** The Management API of a simulated tenant whose log is answered in another way, with the limits by default. */
async function openApi(respond: faults.Misbehave) {
  const t = await openTenant()
  onTestFinished(() => t.close())
  const asked = new Promise<void>((resolve) => {
    t.simulator.faults.push({
      path: '/api/v2/logs',
      respond: (reply) => {
        resolve()
        return respond(reply)
      },
    })
  })
  const { url, credentials } = t.simulator
  const api = createManagementApi({ domain: DOMAIN, baseUrl: url, ...credentials })
  return { api, asked }
}

afterEach(() => void vi.useRealTimers())

test('a request without a response is given up after 30 s', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const { api, asked } = await openApi(faults.hang())
  const ended = vi.fn()
  const request = api.get(PATH, signal).finally(ended)
  request.catch(() => {})
  await asked
  vi.advanceTimersByTime(29_999)
  await turn()
  expect(ended).not.toHaveBeenCalled()
  vi.advanceTimersByTime(1)
  await expect(request).rejects.toMatchObject({
    code: 'AUTH0_UNAVAILABLE',
    message: expect.stringContaining('within 30 s'),
  })
})

test('a response without an end is given up at 64 MB', async () => {
  const { api } = await openApi(faults.endlessBody())
  await expect(api.get(PATH, signal)).rejects.toMatchObject({
    code: 'AUTH0_MALFORMED_PAGE',
    message: expect.stringContaining('more than 64 MB'),
  })
})
