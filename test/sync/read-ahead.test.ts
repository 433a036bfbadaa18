import { expect, test } from 'vitest'
import { readAhead } from '../../src/sync/read-ahead.js'

// `readAhead` reads values in the background, one after another, before `take` returns them.

/** Waits until all pending promise callbacks have run, so that reading has paused or ended. */
const settle = () => new Promise((resolve) => setImmediate(resolve))

/**
 * Reads ahead the numbers from 1 to `end`. If `failAt` is set, reading this number fails. `lastRequested` returns the
 * last number that was requested.
 */
function readNumbers({
  end,
  maxAhead,
  failAt,
}: {
  end: number
  maxAhead: number
  failAt?: number
}) {
  let requestedNumber = 0
  const { take } = readAhead<number>(async (previous) => {
    requestedNumber = (previous ?? 0) + 1
    if (requestedNumber === failAt) throw new Error('failed')
    return requestedNumber > end ? null : requestedNumber
  }, maxAhead)
  return { take, lastRequested: () => requestedNumber }
}

test('take returns all values that have arrived, in order, and an empty array after the last value', async () => {
  const { take } = readNumbers({ end: 3, maxAhead: 8 })
  await settle()
  await expect(take()).resolves.toEqual([1, 2, 3])
  await expect(take()).resolves.toEqual([])
  await expect(take()).resolves.toEqual([])
})

test('readAhead pauses when it has read `maxAhead` values, and continues when they are taken', async () => {
  const { take, lastRequested } = readNumbers({ end: 10, maxAhead: 2 })
  await settle()
  expect(lastRequested()).toBe(2)
  await expect(take()).resolves.toEqual([1, 2])
  await settle()
  expect(lastRequested()).toBe(4)
})

test('take waits until a value has arrived', async () => {
  let resolveRead = (_value: number) => {}
  const readNext = () =>
    new Promise<number>((resolve) => {
      resolveRead = resolve
    })
  const { take } = readAhead<number>(readNext, 8)
  const taking = take()
  resolveRead(7)
  await expect(taking).resolves.toEqual([7])
})

test('if a read fails, take first returns all values before the failure, and then rejects with its error', async () => {
  const { take } = readNumbers({ end: 5, maxAhead: 8, failAt: 3 })
  await settle()
  await expect(take()).resolves.toEqual([1, 2])
  await expect(take()).rejects.toThrow('failed')
})
