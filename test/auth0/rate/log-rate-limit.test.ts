import { describe, expect, type TestContext, test } from 'vitest'
import type { LogRequest } from '../../../src/measurements.js'
import { syntheticLogId } from '../../../src/rules/log-id.js'
import * as faults from '../../../src/simulator/faults.js'
import type { SimulatorOptions } from '../../../src/simulator/server.js'
import { openSource, openTenant, type TestTenant } from '../../_support/tenant.js'

const LOGS = '/api/v2/logs'
const { signal } = new AbortController()
const startPosition = syntheticLogId(Date.now() - 61_000)

/** Opens a tenant that is closed when the test ends. */
async function open(
  { onTestFinished }: TestContext,
  options: Partial<SimulatorOptions> = {},
): Promise<TestTenant> {
  const testTenant = await openTenant({}, options)
  onTestFinished(testTenant.close)
  return testTenant
}

// In these tests, our share is the fraction of Auth0's rate limit that last-logout may use: `rateShare`.
describe.concurrent('the rate limit of Auth0', () => {
  test('the next page request after a 429 is sent when retry-after has passed', async (context) => {
    const testTenant = await open(context)
    const respond = faults.rateLimited({ 'retry-after': '1' })
    testTenant.simulator.faults.push({ path: LOGS, respond })
    const startedAt = performance.now()
    await testTenant.source.readPage(startPosition, signal)
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(1000)
    expect(testTenant.simulator.requests.count({ path: LOGS })).toBe(2)
  })

  test('requests are sent until our share of the rate limit is used, and later requests wait for the refill', async (context) => {
    const testTenant = await open(context, { rateLimit: { burst: 10, perSecond: 0.01 } })
    const source = openSource(testTenant.simulator, { rateShare: 0.5 })
    const stop = new AbortController()
    const reading = (async () => {
      for (;;) await source.readPage(startPosition, stop.signal)
    })()
    reading.catch(() => {})
    // Five requests are our share of the burst of ten. The refill is too slow for another request in this test.
    await context.expect.poll(() => testTenant.simulator.requests.count({ path: LOGS })).toBe(5)
    stop.abort()
    await expect(reading).rejects.toMatchObject({ code: 'ABORTED' })
    expect(testTenant.simulator.requests.count({ path: LOGS })).toBe(5)
  })

  test.for([
    ['token bucket', { burst: 20, perSecond: 10 }],
    ['fixed window', { burst: 20, windowSeconds: 2 }],
  ] as const)(
    'requests never use more than our share of a %s (pitfalls 2, 13)',
    async ([, rateLimit], context) => {
      const testTenant = await open(context, { rateLimit })
      const requests: LogRequest[] = []
      const observe = (request: LogRequest) => void requests.push(request)
      const source = openSource(testTenant.simulator, { rateShare: 0.5, observe })
      const startedAt = performance.now()
      while (performance.now() - startedAt < 5_000) await source.readPage(startPosition, signal)
      const seconds = (performance.now() - startedAt) / 1000
      expect(requests.every(({ status }) => status === 200)).toBe(true)
      // Our share is half of 20 requests. The other half remains for other callers.
      const minRemaining = Math.min(...requests.map(({ rateLimit }) => rateLimit?.remaining ?? 0))
      expect(minRemaining).toBeGreaterThanOrEqual(10)
      expect(requests.some(({ waitedMs }) => waitedMs > 100)).toBe(true)
      if ('perSecond' in rateLimit) {
        // The first three requests use three of the ten tokens of our share. The last requests each wait for one token.
        const used = requests.map(({ budgetUsed }) => budgetUsed ?? 0)
        expect(used[2]).toBeCloseTo(0.3, 1)
        expect(Math.max(...used)).toBeGreaterThan(0.95)
        expect(Math.max(...used)).toBeLessThanOrEqual(1)
      }
      // The bucket is full at the start and gains 10 per second. The requests touch at most two windows more than the
      // whole windows.
      const supplied = 'perSecond' in rateLimit ? 20 + 10 * seconds : 20 * (seconds / 2 + 2)
      expect(requests.length).toBeLessThanOrEqual(supplied / 2)
      expect(requests.length).toBeGreaterThan(supplied / 4)
    },
  )

  test('the next page request after a 429 is sent after at least a second, even if retry-after is 0 (pitfalls 2, 10)', async (context) => {
    const testTenant = await open(context)
    let refusedAt = 0
    const refuse = faults.rateLimited({ 'retry-after': '0' })
    testTenant.simulator.faults.push({
      path: LOGS,
      respond: (reply) => {
        refusedAt = performance.now()
        return refuse(reply)
      },
    })
    const requests: LogRequest[] = []
    let sentAt = 0
    const observe = (request: LogRequest) => {
      requests.push(request)
      sentAt = performance.now() - request.durationMs
    }
    const source = openSource(testTenant.simulator, { observe })
    await source.readPage(startPosition, signal)
    expect(requests.map(({ status }) => status)).toEqual([429, 200])
    expect(requests[1]?.waitedMs).toBeGreaterThan(0)
    expect(sentAt - refusedAt).toBeGreaterThanOrEqual(1_000)
  })

  test('a request without a response is reported with the rate limit null', async (context) => {
    const testTenant = await open(context)
    testTenant.simulator.faults.push({ path: LOGS, respond: faults.connectionReset() })
    const requests: LogRequest[] = []
    const observe = (request: LogRequest) => void requests.push(request)
    await openSource(testTenant.simulator, { observe }).readPage(startPosition, signal)
    expect(requests).toEqual([
      {
        status: null,
        durationMs: expect.any(Number),
        rateLimit: null,
        waitedMs: expect.any(Number),
        budgetUsed: null,
      },
      expect.objectContaining({ status: 200, rateLimit: expect.objectContaining({ limit: 1000 }) }),
    ])
  })

  test('the next token request after a 429 is sent when retry-after has passed', async (context) => {
    const testTenant = await open(context)
    const respond = faults.rateLimited({ 'retry-after': '2' })
    testTenant.simulator.faults.push({ path: '/oauth/token', respond })
    const startedAt = performance.now()
    await testTenant.source.readPage(startPosition, signal)
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(2_000)
    expect(testTenant.simulator.requests.count({ path: '/oauth/token' })).toBe(2)
  })

  test('token requests after a 429 without retry-after are delayed with backoff', async (context) => {
    const testTenant = await open(context)
    testTenant.simulator.faults.push({
      path: '/oauth/token',
      times: 2,
      respond: faults.rateLimited(),
    })
    const startedAt = performance.now()
    await testTenant.source.readPage(startPosition, signal)
    // The backoff is 250 ms after the first 429, and 500 ms after the second.
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(750)
    expect(testTenant.simulator.requests.count({ path: '/oauth/token' })).toBe(3)
  })
})
