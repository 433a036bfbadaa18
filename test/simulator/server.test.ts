import { Agent, get } from 'node:http'
import { describe, expect, test } from 'vitest'
import { delay } from '../../src/simulator/faults.js'
import { createSimulator } from '../../src/simulator/server.js'
import { createTenant } from '../../src/simulator/tenant.js'
import { DOMAIN } from '../_support/tenant.js'
import { NOON, start } from './start.js'

describe('the simulator', () => {
  test("the header Date of every response contains the time of the tenant's clock", async () => {
    const { clock, logs, fetch } = await start()
    expect((await logs()).headers.get('date')).toBe('Sun, 01 Mar 2026 12:00:00 GMT')
    clock.ms = NOON + 61_000
    expect((await fetch('/unknown')).headers.get('date')).toBe('Sun, 01 Mar 2026 12:01:01 GMT')
  })

  test('the simulator records method, URL and status of every request', async () => {
    const { simulator, logs, fetch, token } = await start()
    await logs('?from=900&take=5')
    await fetch('/api/v2/logs')
    await token()
    expect(simulator.requests.all()).toEqual([
      { method: 'GET', url: '/api/v2/logs?from=900&take=5', status: 200 },
      { method: 'GET', url: '/api/v2/logs', status: 401 },
      { method: 'POST', url: '/oauth/token', status: 200 },
    ])
    expect(simulator.requests.count()).toBe(3)
    expect(simulator.requests.count({ path: '/api/v2/logs' })).toBe(2)
    expect(simulator.requests.count({ path: '/api/v2/logs', status: 401 })).toBe(1)
    simulator.requests.clear()
    expect(simulator.requests.count()).toBe(0)
  })

  test('the simulator responds with 404 to a request that it does not simulate, and the message names the request', async () => {
    const { fetch } = await start()
    const response = await fetch('/api/v2/users?q=secret', { method: 'POST' })
    expect(response.status).toBe(404)
    expect(await response.json()).toEqual({
      statusCode: 404,
      error: 'Not Found',
      message: 'The simulator has no endpoint POST /api/v2/users.',
    })
  })

  test.each(['//', '//api/v2/logs'])(
    'a path that begins with two slashes (%s), as after a base URL that ends with one, gets 404 with the whole path',
    async (path) => {
      const { fetch, simulator } = await start()
      const response = await fetch(path)
      expect(response.status).toBe(404)
      const { message } = (await response.json()) as { message: string }
      expect(message).toBe(`The simulator has no endpoint GET ${path}.`)
      expect(simulator.requests.count({ path })).toBe(1)
    },
  )

  test('the simulator delays responses by the configured latency', async () => {
    const { logs } = await start({ latencyMs: 40 })
    const startedAt = performance.now()
    await logs()
    // A timer can fire slightly early by this clock.
    expect(performance.now() - startedAt).toBeGreaterThan(35)
  })

  test.each(['0.0.0.0', '::', '192.0.2.1', 'localhost'])(
    'createSimulator rejects the host %s, because it accepts only 127.0.0.1 and ::1',
    async (host) => {
      const tenant = createTenant({ domain: DOMAIN })
      await expect(createSimulator({ tenant, host })).rejects.toThrow(TypeError)
    },
  )

  test('the simulator closes within a second, even if connections are idle or wait for a response', async () => {
    const { simulator, logs } = await start()
    // This agent keeps its connection open after the response.
    const agent = new Agent({ keepAlive: true })
    await new Promise((resolve) => {
      get(simulator.url, { agent }, (response) => response.resume().on('end', resolve))
    })
    simulator.faults.push({ respond: delay(60_000) })
    const pendingRequest = logs()
    // The handler must exist before the request fails.
    const rejection = expect(pendingRequest).rejects.toThrow('fetch failed')
    // The request has taken the fault, and now waits for its response.
    await expect.poll(() => simulator.faults.pending()).toBe(0)
    const startedAt = performance.now()
    await simulator.close()
    expect(performance.now() - startedAt).toBeLessThan(1000)
    await rejection
    await expect(fetch(simulator.url)).rejects.toThrow('fetch failed')
    agent.destroy()
  })
})
