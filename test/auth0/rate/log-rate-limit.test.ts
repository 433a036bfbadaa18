import { describe, expect, type TestContext, test } from 'vitest'
import type { LogAnswer } from '../../../src/auth0/rate/budget.js'
import { syntheticLogId } from '../../../src/rules/log-id.js'
import * as faults from '../../../src/simulator/faults.js'
import type { SimulatorOptions } from '../../../src/simulator/server.js'
import { openSource, openTenant, type TestTenant } from '../../_support/tenant.js'

const LOGS = '/api/v2/logs'
const { signal } = new AbortController()
const begin = syntheticLogId(Date.now() - 61_000)

/** A tenant that ends with the test. */
async function open(
  { onTestFinished }: TestContext,
  options: Partial<SimulatorOptions> = {},
): Promise<TestTenant> {
  const t = await openTenant({}, options)
  onTestFinished(t.close)
  return t
}

describe.concurrent('a rate limit', () => {
  test('that is hit is waited for as long as told', async (context) => {
    const t = await open(context)
    const respond = faults.rateLimited({ 'retry-after': '1' })
    t.simulator.faults.push({ path: LOGS, respond })
    const before = performance.now()
    await t.source.readPage(begin, signal)
    expect(performance.now() - before).toBeGreaterThanOrEqual(1000)
    expect(t.simulator.requests.count({ path: LOGS })).toBe(2)
  })

  test('is used up to our share: then we wait until it is filled again', async (context) => {
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
    'of a %s is never hit, nor used beyond our share (P2, P13)',
    async ([, rateLimit], context) => {
      const limited = await open(context, { rateLimit })
      const answers: LogAnswer[] = []
      const observe = (answer: LogAnswer) => void answers.push(answer)
      const source = openSource(limited.simulator, { rateShare: 0.5, observe })
      const startedAt = performance.now()
      while (performance.now() - startedAt < 5_000) await source.readPage(begin, signal)
      const seconds = (performance.now() - startedAt) / 1000
      expect(answers.every(({ status }) => status === 200)).toBe(true)
      const least = Math.min(...answers.map(({ rateLimit }) => rateLimit?.remaining ?? 0))
      expect(least).toBeGreaterThanOrEqual(10)
      expect(answers.some(({ waitedMs }) => waitedMs > 100)).toBe(true)
      if ('perSecond' in rateLimit) {
        // Three of the ten that we may send at once; at the end each waits for room for one more.
        const used = answers.map(({ budgetUsed }) => budgetUsed ?? 0)
        expect(used[2]).toBeCloseTo(0.3, 1)
        expect(Math.max(...used)).toBeGreaterThan(0.95)
        expect(Math.max(...used)).toBeLessThanOrEqual(1)
      }
      const supplied = 'perSecond' in rateLimit ? 20 + 10 * seconds : 20 * (seconds / 2 + 2)
      expect(answers.length).toBeLessThanOrEqual(supplied / 2)
      expect(answers.length).toBeGreaterThan(supplied / 4)
    },
  )

  test('that is hit is not stormed: all of the requests wait (P2, P10)', async (context) => {
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
    const answers: LogAnswer[] = []
    let sentAt = 0
    const observe = (answer: LogAnswer) => {
      answers.push(answer)
      sentAt = performance.now() - answer.durationMs
    }
    const source = openSource(t.simulator, { observe })
    await source.readPage(begin, signal)
    expect(answers.map(({ status }) => status)).toEqual([429, 200])
    expect(answers[1]?.waitedMs).toBeGreaterThan(0)
    expect(sentAt - refusedAt).toBeGreaterThanOrEqual(1_000)
  })

  test('is told of a request without an answer too', async (context) => {
    const t = await open(context)
    t.simulator.faults.push({ path: LOGS, respond: faults.connectionReset() })
    const answers: LogAnswer[] = []
    const observe = (answer: LogAnswer) => void answers.push(answer)
    await openSource(t.simulator, { observe }).readPage(begin, signal)
    expect(answers).toEqual([
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

  test('of token requests is waited for as long as told', async (context) => {
    const t = await open(context)
    const respond = faults.rateLimited({ 'retry-after': '2' })
    t.simulator.faults.push({ path: '/oauth/token', respond })
    const before = performance.now()
    await t.source.readPage(begin, signal)
    expect(performance.now() - before).toBeGreaterThanOrEqual(2_000)
    expect(t.simulator.requests.count({ path: '/oauth/token' })).toBe(2)
  })

  test('of token requests is not stormed', async (context) => {
    const t = await open(context)
    t.simulator.faults.push({ path: '/oauth/token', times: 2, respond: faults.rateLimited() })
    const before = performance.now()
    await t.source.readPage(begin, signal)
    expect(performance.now() - before).toBeGreaterThanOrEqual(750)
    expect(t.simulator.requests.count({ path: '/oauth/token' })).toBe(3)
  })
})
