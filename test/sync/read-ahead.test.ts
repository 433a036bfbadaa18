import { expect, test } from 'vitest'
import { readAhead } from '../../src/sync/read-ahead.js'

/** Resolves after all promise callbacks that are due. */
const settle = () => new Promise((resolve) => setImmediate(resolve))

/** Reads the numbers from 1 to `end`. Returns how many were requested. */
function readNumbers(end: number, maxAhead: number, failsAt = 0) {
  let requested = 0
  const ahead = readAhead<number>(async (previous) => {
    const next = (previous ?? 0) + 1
    requested = next
    if (next === failsAt) throw new Error('failed')
    return next > end ? null : next
  }, maxAhead)
  return { take: ahead.take, requested: () => requested }
}

test('readAhead returns all values that have arrived together, in order, and nothing after the last one', async () => {
  const { take } = readNumbers(3, 8)
  await settle()
  await expect(take()).resolves.toEqual([1, 2, 3])
  await expect(take()).resolves.toEqual([])
  await expect(take()).resolves.toEqual([])
})

test('readAhead reads no more than the maximum ahead, and continues when values are taken', async () => {
  const { take, requested } = readNumbers(10, 2)
  await settle()
  expect(requested()).toBe(2)
  await expect(take()).resolves.toEqual([1, 2])
  await settle()
  expect(requested()).toBe(4)
})

test('readAhead returns the first value as soon as it has arrived', async () => {
  let arrive = (_value: number) => {}
  const ahead = readAhead<number>(
    () =>
      new Promise((resolve) => {
        arrive = resolve
      }),
    8,
  )
  const taking = ahead.take()
  arrive(7)
  await expect(taking).resolves.toEqual([7])
})

test('readAhead returns all earlier values before it throws', async () => {
  const { take } = readNumbers(5, 8, 3)
  await settle()
  await expect(take()).resolves.toEqual([1, 2])
  await expect(take()).rejects.toThrow('failed')
})
