import { expect, test } from 'vitest'
import { readAhead } from '../../src/sync/read-ahead.js'

/** Waits until all pending promise callbacks have run. */
const settle = () => new Promise((resolve) => setImmediate(resolve))

/** Reads ahead the numbers from 1 to `end`. `requested` returns the last requested number. */
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

test('take returns all values that have arrived, in order, and an empty array after the last value', async () => {
  const { take } = readNumbers(3, 8)
  await settle()
  await expect(take()).resolves.toEqual([1, 2, 3])
  await expect(take()).resolves.toEqual([])
  await expect(take()).resolves.toEqual([])
})

test('readAhead pauses at the maximum number of values, and continues when they are taken', async () => {
  const { take, requested } = readNumbers(10, 2)
  await settle()
  expect(requested()).toBe(2)
  await expect(take()).resolves.toEqual([1, 2])
  await settle()
  expect(requested()).toBe(4)
})

test('take returns the first value as soon as it has arrived', async () => {
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

test('take returns all values before the error of readNext, and then throws the error', async () => {
  const { take } = readNumbers(5, 8, 3)
  await settle()
  await expect(take()).resolves.toEqual([1, 2])
  await expect(take()).rejects.toThrow('failed')
})
