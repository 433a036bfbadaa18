import { expect, test } from 'vitest'
import { backOff } from '../../src/async/backoff.js'

const BACKOFF = { firstMs: 10, maxMs: 40 }
const { signal } = new AbortController()

test('backOff waits twice as long after each attempt, up to the maximum', async () => {
  for (const [attempt, minMs] of [10, 20, 40, 40].entries()) {
    const startedAt = performance.now()
    await backOff(attempt, BACKOFF, signal)
    // A timer may fire a little early.
    expect(performance.now() - startedAt).toBeGreaterThan(minMs - 2)
  }
})

test('backOff waits about as long as the maximum after 5,000 attempts, although doubling would exceed every number', async () => {
  await expect(backOff(5_000, { firstMs: 1, maxMs: 2 }, signal)).resolves.toBeUndefined()
})

test('backOff rejects with ABORTED as soon as the signal aborts', async () => {
  const stop = new AbortController()
  const waiting = backOff(0, { firstMs: 3_600_000, maxMs: 3_600_000 }, stop.signal)
  stop.abort()
  await expect(waiting).rejects.toMatchObject({ code: 'ABORTED' })
})
