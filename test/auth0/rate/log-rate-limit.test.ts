import { describe, expect, type TestContext, test } from 'vitest'
import type { LogRequest } from '../../../src/measurements.js'
import { syntheticLogId } from '../../../src/rules/log-id.js'
import * as faults from '../../../src/simulator/faults.js'
import type { SimulatorOptions } from '../../../src/simulator/server.js'
import { openSource, openTenant, type TestTenant } from '../../_support/tenant.js'

const LOGS = '/api/v2/logs'
const { signal } = new AbortController()
const begin = syntheticLogId(Date.now() - 61_000)

/** Opens a tenant until the test ends. */
async function open(
  { onTestFinished }: TestContext,
  options: Partial<SimulatorOptions> = {},
): Promise<TestTenant> {
  const t = await openTenant({}, options)
  onTestFinished(t.close)
  return t
}

describe.concurrent('the rate limit of Auth0', () => {
  test('the next request after a 429 is sent when retry-after has passed', async (context) => {
    const t = await open(context)
    const respond = faults.rateLimited({ 'retry-after': '1' })
    t.simulator.faults.push({ path: LOGS, respond })
    const before = performance.now()
    await t.source.readPage(begin, signal)
    expect(performance.now() - before).toBeGreaterThanOrEqual(1000)
    expect(t.simulator.requests.count({ path: LOGS })).toBe(2)
  })

  test('requests use the rate limit up to our share, then wait for the refill', async (context) => {
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
    'requests never use more than our share of a %s (pitfalls 2, 13)',
    async ([, rateLimit], context) => {
      const limited = await open(context, { rateLimit })
      const sent: LogRequest[] = []
      const observe = (request: LogRequest) => void sent.push(request)
      const source = openSource(limited.simulator, { rateShare: 0.5, observe })
      const startedAt = performance.now()
      while (performance.now() - startedAt < 5_000) await source.readPage(begin, signal)
      const seconds = (performance.now() - startedAt) / 1000
      expect(sent.every(({ status }) => status === 200)).toBe(true)
      const minRemaining = Math.min(...sent.map(({ rateLimit }) => rateLimit?.remaining ?? 0))
      expect(minRemaining).toBeGreaterThanOrEqual(10)
      expect(sent.some(({ waitedMs }) => waitedMs > 100)).toBe(true)
      if ('perSecond' in rateLimit) {
        // The first three requests use three of the ten tokens of our share. The last requests each wait for one token.
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

  test('the next request after a 429 is sent after at least a second, even if retry-after is 0 (pitfalls 2, 10)', async (context) => {
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

  test('the measured rate limit of a request without a response is null', async (context) => {
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

  test('the next token request after a 429 is sent when retry-after has passed', async (context) => {
    const t = await open(context)
    const respond = faults.rateLimited({ 'retry-after': '2' })
    t.simulator.faults.push({ path: '/oauth/token', respond })
    const before = performance.now()
    await t.source.readPage(begin, signal)
    expect(performance.now() - before).toBeGreaterThanOrEqual(2_000)
    expect(t.simulator.requests.count({ path: '/oauth/token' })).toBe(2)
  })

  test('token requests after a 429 without retry-after are delayed with backoff', async (context) => {
    const t = await open(context)
    t.simulator.faults.push({ path: '/oauth/token', times: 2, respond: faults.rateLimited() })
    const before = performance.now()
    await t.source.readPage(begin, signal)
    expect(performance.now() - before).toBeGreaterThanOrEqual(750)
    expect(t.simulator.requests.count({ path: '/oauth/token' })).toBe(3)
  })
})
