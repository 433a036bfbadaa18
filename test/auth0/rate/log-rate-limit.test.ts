import { describe, expect, type TestContext, test } from 'vitest'
import type { LogRequest } from '../../../src/measurements.js'
import { syntheticLogId } from '../../../src/rules/log-id.js'
import * as faults from '../../../src/simulator/faults.js'
import type { SimulatorOptions } from '../../../src/simulator/server.js'
import { openSource, openTenant, type TestTenant } from '../../_support/tenant.js'

const LOGS = '/api/v2/logs'
const { signal } = new AbortController()
const begin = syntheticLogId(Date.now() - 61_000)

/** Opens a tenant. It is closed after the test. */
async function open(
  { onTestFinished }: TestContext,
  options: Partial<SimulatorOptions> = {},
): Promise<TestTenant> {
  const t = await openTenant({}, options)
  onTestFinished(t.close)
  return t
}

describe.concurrent('the rate limit of Auth0', () => {
  test('delays the next request after a 429 for as long as stated', async (context) => {
    const t = await open(context)
    const respond = faults.rateLimited({ 'retry-after': '1' })
    t.simulator.faults.push({ path: LOGS, respond })
    const before = performance.now()
    await t.source.readPage(begin, signal)
    expect(performance.now() - before).toBeGreaterThanOrEqual(1000)
    expect(t.simulator.requests.count({ path: LOGS })).toBe(2)
  })

  test('is used up to our share; then requests wait for the refill', async (context) => {
    const limited = await open(context, { rateLimit: { burst: 10, perSecond: 0.01 } })
    const source = openSource(limited.simulator, { rateShare: 0.5 })
    const stop = new AbortController()
    const reading = (async () => {
      for (;;) await source.readPage(begin, stop.signal)
    })()
    reading.catch(() => {})
    await context.expect.poll(() => limited.simulator.requests.count({ path: LOGS })).toBe(5)
    stop.abort()
    await expect(reading).rejects.toMatchObject({ code: 'ABORTED' })
    expect(limited.simulator.requests.count({ path: LOGS })).toBe(5)
  })

  test.for([
    ['token bucket', { burst: 20, perSecond: 10 }],
    ['fixed window', { burst: 20, windowSeconds: 2 }],
  ] as const)(
    'as a %s is never exceeded, nor used beyond our share (P2, P13)',
    async ([, rateLimit], context) => {
      const limited = await open(context, { rateLimit })
      const sent: LogRequest[] = []
      const observe = (request: LogRequest) => void sent.push(request)
      const source = openSource(limited.simulator, { rateShare: 0.5, observe })
      const startedAt = performance.now()
      while (performance.now() - startedAt < 5_000) await source.readPage(begin, signal)
      const seconds = (performance.now() - startedAt) / 1000
      expect(sent.every(({ status }) => status === 200)).toBe(true)
      const least = Math.min(...sent.map(({ rateLimit }) => rateLimit?.remaining ?? 0))
      expect(least).toBeGreaterThanOrEqual(10)
      expect(sent.some(({ waitedMs }) => waitedMs > 100)).toBe(true)
      if ('perSecond' in rateLimit) {
        // At first, three of the ten tokens of our share are used. In the end, each request waits for one token.
        const used = sent.map(({ budgetUsed }) => budgetUsed ?? 0)
        expect(used[2]).toBeCloseTo(0.3, 1)
        expect(Math.max(...used)).toBeGreaterThan(0.95)
        expect(Math.max(...used)).toBeLessThanOrEqual(1)
      }
      const supplied = 'perSecond' in rateLimit ? 20 + 10 * seconds : 20 * (seconds / 2 + 2)
      expect(sent.length).toBeLessThanOrEqual(supplied / 2)
      expect(sent.length).toBeGreaterThan(supplied / 4)
    },
  )

  test('delays all requests after a 429 by at least a second (P2, P10)', async (context) => {
    const t = await open(context)
    let refusedAt = 0
    const refuse = faults.rateLimited({ 'retry-after': '0' })
    t.simulator.faults.push({
      path: LOGS,
      respond: (reply) => {
        refusedAt = performance.now()
        return refuse(reply)
      },
    })
    const sent: LogRequest[] = []
    let sentAt = 0
    const observe = (request: LogRequest) => {
      sent.push(request)
      sentAt = performance.now() - request.durationMs
    }
    const source = openSource(t.simulator, { observe })
    await source.readPage(begin, signal)
    expect(sent.map(({ status }) => status)).toEqual([429, 200])
    expect(sent[1]?.waitedMs).toBeGreaterThan(0)
    expect(sentAt - refusedAt).toBeGreaterThanOrEqual(1_000)
  })

  test('is reported as unknown for a request without a response', async (context) => {
    const t = await open(context)
    t.simulator.faults.push({ path: LOGS, respond: faults.connectionReset() })
    const sent: LogRequest[] = []
    const observe = (request: LogRequest) => void sent.push(request)
    await openSource(t.simulator, { observe }).readPage(begin, signal)
    expect(sent).toEqual([
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

  test('delays the next token request after a 429 for as long as stated', async (context) => {
    const t = await open(context)
    const respond = faults.rateLimited({ 'retry-after': '2' })
    t.simulator.faults.push({ path: '/oauth/token', respond })
    const before = performance.now()
    await t.source.readPage(begin, signal)
    expect(performance.now() - before).toBeGreaterThanOrEqual(2_000)
    expect(t.simulator.requests.count({ path: '/oauth/token' })).toBe(2)
  })

  test('delays token requests after a 429 with backoff', async (context) => {
    const t = await open(context)
    t.simulator.faults.push({ path: '/oauth/token', times: 2, respond: faults.rateLimited() })
    const before = performance.now()
    await t.source.readPage(begin, signal)
    expect(performance.now() - before).toBeGreaterThanOrEqual(750)
    expect(t.simulator.requests.count({ path: '/oauth/token' })).toBe(3)
  })
})
