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

describe('a fault', () => {
  test('hits as many requests to its path as told, then lets the rest through', async () => {
    const { simulator, logs, token } = await start()
    simulator.faults.push({ path, times: 2, respond: respondWith(500, { message: 'oops' }) })
    expect((await token()).status).toBe(200)
    expect(simulator.faults.pending()).toBe(2)
    const statuses = [await logs(), await logs(), await logs()].map(({ status }) => status)
    expect(statuses).toEqual([500, 500, 200])
    expect(simulator.faults.pending()).toBe(0)
  })

  test('hits once, everywhere, unless told otherwise', async () => {
    const { simulator, token } = await start()
    simulator.faults.push({ respond: respondWith(503, '') })
    expect((await token()).status).toBe(503)
    expect((await token()).status).toBe(200)
  })

  test('waits for the requests that it is meant for', async () => {
    const { simulator, logs } = await start()
    const when = (url: URL) => url.searchParams.has('from')
    simulator.faults.push({ when, respond: respondWith(404, {}) })
    expect((await logs()).status).toBe(200)
    expect((await logs('?from=900')).status).toBe(404)
  })

  test('waits its turn behind the faults before it', async () => {
    const { simulator, logs } = await start()
    simulator.faults.push({ respond: respondWith(500, {}) })
    simulator.faults.push({ respond: respondWith(502, {}) })
    expect([(await logs()).status, (await logs()).status]).toEqual([500, 502])
  })

  test('is gone after clear', async () => {
    const { simulator, logs } = await start()
    simulator.faults.push({ times: Infinity, respond: respondWith(500, {}) })
    simulator.faults.clear()
    expect((await logs()).status).toBe(200)
  })
})

describe('the named faults', () => {
  test('answer 401, 403 and 429 as Auth0 does', async () => {
    const { simulator, logs } = await start()
    for (const respond of [invalidToken(), missingScope(), rateLimited()]) {
      simulator.faults.push({ path, respond })
    }
    const bodies = [await logs(), await logs(), await logs()].map((response) => response.json())
    expect(await Promise.all(bodies)).toMatchObject([
      { statusCode: 401, message: 'Invalid token' },
      { statusCode: 403, errorCode: 'insufficient_scope' },
      { statusCode: 429, message: 'Global limit has been reached' },
    ])
  })

  test('answer 429 with and without Retry-After, the bucket being empty', async () => {
    const { simulator, logs } = await start()
    simulator.faults.push({ path, respond: rateLimited() })
    simulator.faults.push({ path, respond: rateLimited({ 'retry-after': '7' }) })
    const [without, told] = [await logs(), await logs()]
    expect(without.headers.get('retry-after')).toBeNull()
    expect(told.headers.get('retry-after')).toBe('7')
    expect(told.headers.get('x-ratelimit-remaining')).toBe('0')
    expect(told.headers.get('date')).not.toBeNull()
  })

  test.each([200, 502])('answer %i with HTML', async (status) => {
    const { simulator, logs } = await start()
    simulator.faults.push({ path, respond: html(status) })
    const response = await logs()
    expect(response.status).toBe(status)
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(await response.text()).toContain('<h1>')
  })

  test('cut JSON off in an answer that is whole', async () => {
    const { simulator, logs } = await start()
    simulator.faults.push({ path, respond: cutOffJson() })
    const text = await (await logs()).text()
    expect(text).toMatch(/^\[\{/)
    expect(() => JSON.parse(text)).toThrow(SyntaxError)
  })

  test('cut the body off', async () => {
    const { simulator, logs } = await start()
    simulator.faults.push({ path, respond: cutOffBody() })
    const response = await logs()
    expect(response.status).toBe(200)
    await expect(response.text()).rejects.toThrow('terminated')
  })

  test('reset the connection', async () => {
    const { simulator, logs } = await start()
    simulator.faults.push({ path, respond: connectionReset() })
    await expect(logs()).rejects.toMatchObject({ cause: { code: 'ECONNRESET' } })
    expect(simulator.requests.all()).toEqual([{ method: 'GET', url: path, status: null }])
    expect((await logs()).status).toBe(200)
  })

  test('delay the usual answer', async () => {
    const { simulator, tenant, ids } = await start()
    const written = writeLogouts(tenant, 1)
    simulator.faults.push({ path, respond: delay(50) })
    const startedAt = performance.now()
    expect(await ids()).toEqual(written)
    expect(performance.now() - startedAt).toBeGreaterThan(45)
  })

  test('never answer', async () => {
    const { simulator, fetch } = await start()
    simulator.faults.push({ path, respond: hang() })
    const stop = new AbortController()
    const answered = fetch(path, { signal: stop.signal })
    await expect.poll(() => simulator.faults.pending()).toBe(0)
    expect(await Promise.race([answered, sleep(100, 'nothing')])).toBe('nothing')
    stop.abort()
    await expect(answered).rejects.toThrow('aborted')
  })

  test('never end, and make no more of the body than is read', async () => {
    const { simulator, logs } = await start()
    simulator.faults.push({ path, respond: endlessBody() })
    const reader = (await logs()).body?.getReader()
    const before = process.memoryUsage().rss
    await sleep(300)
    expect(process.memoryUsage().rss - before).toBeLessThan(50 * 1024 ** 2)
    let bytes = 0
    while (bytes < 20 * 1024 ** 2) bytes += (await reader?.read())?.value?.byteLength ?? Number.NaN
    await reader?.cancel()
  })

  test('drip', async () => {
    const { simulator, logs } = await start()
    simulator.faults.push({ path, respond: slowDrip(20) })
    const reader = (await logs()).body?.getReader()
    const decoder = new TextDecoder()
    let text = ''
    while (text.length < 5) text += decoder.decode((await reader?.read())?.value)
    expect(text).toMatch(/^\[ {4}/)
    await reader?.cancel()
  })

  test('redirect', async () => {
    const { simulator, fetch } = await start()
    simulator.faults.push({ path, respond: redirect('https://elsewhere.example/') })
    const { status, headers } = await fetch(path, { redirect: 'manual' })
    expect([status, headers.get('location')]).toEqual([302, 'https://elsewhere.example/'])
  })
})
