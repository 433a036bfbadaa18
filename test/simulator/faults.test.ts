import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import {
  connectionReset,
  cutOffBody,
  cutOffJson,
  delay,
  endlessBody,
  hang,
  html,
  invalidToken,
  missingScope,
  rateLimited,
  redirect,
  respondWith,
  slowDrip,
} from '../../src/simulator/faults.js'
import { start, writeLogouts } from './start.js'

const path = '/api/v2/logs'
const MIB = 1024 ** 2

// A fault replaces the response of the simulator to some requests.
describe('a fault', () => {
  test('a fault affects the given number of requests to its path, and no other request', async () => {
    const { simulator, logs, token } = await start()
    simulator.faults.push({ path, times: 2, respond: respondWith(500, { message: 'oops' }) })
    expect((await token()).status).toBe(200)
    expect(simulator.faults.pending()).toBe(2)
    const responses = [await logs(), await logs(), await logs()]
    const statuses = responses.map(({ status }) => status)
    expect(statuses).toEqual([500, 500, 200])
    expect(simulator.faults.pending()).toBe(0)
  })

  test('a fault affects one request to any path by default', async () => {
    const { simulator, token } = await start()
    simulator.faults.push({ respond: respondWith(503, '') })
    expect((await token()).status).toBe(503)
    expect((await token()).status).toBe(200)
  })

  test('a fault affects only requests that match its condition', async () => {
    const { simulator, logs } = await start()
    const hasCheckpoint = (url: URL) => url.searchParams.has('from')
    simulator.faults.push({ when: hasCheckpoint, respond: respondWith(404, {}) })
    expect((await logs()).status).toBe(200)
    expect((await logs('?from=900')).status).toBe(404)
  })

  test('a fault is applied after the faults that were pushed before it', async () => {
    const { simulator, logs } = await start()
    simulator.faults.push({ respond: respondWith(500, {}) })
    simulator.faults.push({ respond: respondWith(502, {}) })
    expect([(await logs()).status, (await logs()).status]).toEqual([500, 502])
  })

  test('a fault with zero requests affects none, and a fault without a number of requests affects one', async () => {
    const { simulator, logs } = await start()
    simulator.faults.push({ times: 0, respond: respondWith(500, {}) })
    expect((await logs()).status).toBe(200)
    // JavaScript callers can pass `undefined`.
    const times = undefined as unknown as number
    simulator.faults.push({ times, respond: respondWith(502, {}) })
    expect(simulator.faults.pending()).toBe(1)
    expect([(await logs()).status, (await logs()).status]).toEqual([502, 200])
  })

  test.each([
    ['a path with a query', { path: '/api/v2/logs?from=900' }, '/api/v2/logs?from=900'],
    ['a path without a slash', { path: 'api/v2/logs' }, 'api/v2/logs'],
    ['a negative number of requests', { times: -1 }, '-1'],
    ['a number of requests that is not a number', { times: Number.NaN }, 'NaN'],
  ])(
    'a fault with %s is rejected, because it would affect no request',
    async (_case, fault, value) => {
      const { simulator } = await start()
      const push = () => simulator.faults.push({ ...fault, respond: respondWith(500, {}) })
      expect(push).toThrow(TypeError)
      expect(push).toThrow(value)
      expect(simulator.faults.pending()).toBe(0)
    },
  )

  test('clear removes all faults', async () => {
    const { simulator, logs } = await start()
    simulator.faults.push({ times: Infinity, respond: respondWith(500, {}) })
    simulator.faults.clear()
    expect((await logs()).status).toBe(200)
  })
})

describe('the predefined faults', () => {
  test('invalidToken, missingScope and rateLimited respond like Auth0 with 401, 403 and 429', async () => {
    const { simulator, logs } = await start()
    for (const respond of [invalidToken(), missingScope(), rateLimited()]) {
      simulator.faults.push({ path, respond })
    }
    const responses = [await logs(), await logs(), await logs()]
    const bodies = responses.map((response) => response.json())
    expect(await Promise.all(bodies)).toMatchObject([
      { statusCode: 401, message: 'Invalid token' },
      { statusCode: 403, errorCode: 'insufficient_scope' },
      { statusCode: 429, message: 'Global limit has been reached' },
    ])
  })

  test('rateLimited reports that no request remains, and adds a given Retry-After header', async () => {
    const { simulator, logs } = await start()
    simulator.faults.push({ path, respond: rateLimited() })
    simulator.faults.push({ path, respond: rateLimited({ 'retry-after': '7' }) })
    const withoutHeader = await logs()
    const withHeader = await logs()
    expect(withoutHeader.headers.get('retry-after')).toBeNull()
    expect(withHeader.headers.get('retry-after')).toBe('7')
    expect(withHeader.headers.get('x-ratelimit-remaining')).toBe('0')
    expect(withHeader.headers.get('date')).not.toBeNull()
  })

  test.each([200, 502])('html(%i) responds with this status and HTML', async (status) => {
    const { simulator, logs } = await start()
    simulator.faults.push({ path, respond: html(status) })
    const response = await logs()
    expect(response.status).toBe(status)
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(await response.text()).toContain('<h1>')
  })

  test('cutOffJson sends a complete response with truncated JSON', async () => {
    const { simulator, logs } = await start()
    simulator.faults.push({ path, respond: cutOffJson() })
    const text = await (await logs()).text()
    expect(text).toMatch(/^\[\{/)
    expect(() => JSON.parse(text)).toThrow(SyntaxError)
  })

  test('cutOffBody closes the connection during the body', async () => {
    const { simulator, logs } = await start()
    simulator.faults.push({ path, respond: cutOffBody() })
    const response = await logs()
    expect(response.status).toBe(200)
    await expect(response.text()).rejects.toThrow('terminated')
  })

  test('connectionReset resets the connection', async () => {
    const { simulator, logs } = await start()
    simulator.faults.push({ path, respond: connectionReset() })
    await expect(logs()).rejects.toMatchObject({ cause: { code: 'ECONNRESET' } })
    expect(simulator.requests.all()).toEqual([{ method: 'GET', url: path, status: null }])
    expect((await logs()).status).toBe(200)
  })

  test('delay delays the usual response', async () => {
    const { simulator, tenant, ids } = await start()
    const logIds = writeLogouts(tenant, 1)
    simulator.faults.push({ path, respond: delay(50) })
    const startedAt = performance.now()
    expect(await ids()).toEqual(logIds)
    // A timer can fire slightly early by this clock.
    expect(performance.now() - startedAt).toBeGreaterThan(45)
  })

  test('hang leaves the connection open without a response', async () => {
    const { simulator, fetch } = await start()
    simulator.faults.push({ path, respond: hang() })
    const stop = new AbortController()
    const pending = fetch(path, { signal: stop.signal })
    await expect.poll(() => simulator.faults.pending()).toBe(0)
    // Without the fault, the response would be there within this time.
    expect(await Promise.race([pending, sleep(100, 'no response')])).toBe('no response')
    stop.abort()
    await expect(pending).rejects.toThrow('aborted')
  })

  test('endlessBody sends more than 20 MiB, and generates its body only as fast as the test reads it', async () => {
    const { simulator, logs } = await start()
    simulator.faults.push({ path, respond: endlessBody() })
    const reader = (await logs()).body?.getReader()
    const memoryBefore = process.memoryUsage().rss
    // While the test does not read, a body that is generated without a limit would fill the memory of this process.
    await sleep(300)
    expect(process.memoryUsage().rss - memoryBefore).toBeLessThan(50 * MIB)
    let bytesRead = 0
    while (bytesRead < 20 * MIB) {
      const chunk = (await reader?.read())?.value
      if (chunk === undefined) throw new Error('the body has ended')
      bytesRead += chunk.byteLength
    }
    await reader?.cancel()
  })

  test('slowDrip sends the beginning of an array, and then blanks', async () => {
    const { simulator, logs } = await start()
    const intervalMs = 20
    simulator.faults.push({ path, respond: slowDrip(intervalMs) })
    const reader = (await logs()).body?.getReader()
    const decoder = new TextDecoder()
    let text = ''
    while (text.length < 5) text += decoder.decode((await reader?.read())?.value)
    expect(text.startsWith('[    ')).toBe(true)
    await reader?.cancel()
  })

  test('redirect responds with another location', async () => {
    const { simulator, fetch } = await start()
    simulator.faults.push({ path, respond: redirect('https://elsewhere.example/') })
    const { status, headers } = await fetch(path, { redirect: 'manual' })
    expect([status, headers.get('location')]).toEqual([302, 'https://elsewhere.example/'])
  })
})
