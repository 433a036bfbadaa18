import { expect, test } from 'vitest'
import { type BatchOptions, batchCalls } from '../../src/async/batch-calls.js'

/** A batch that ends when the test resolves or rejects it. */
interface StartedBatch {
  inputs: number[]
  resolve(): void
  reject(error: Error): void
}

/** The error of a batch that fails because of one of its inputs. */
const inputError = new Error('refused')

/** Creates a function that doubles numbers in batches. `started` contains all batches that have started. */
function createDoubler(options: Partial<BatchOptions<number, number>> = {}) {
  const started: StartedBatch[] = []
  const double = batchCalls<number, number>({
    run: (inputs) =>
      new Promise((resolve, reject) => {
        started.push({ inputs, resolve: () => resolve(inputs.map((n) => 2 * n)), reject })
      }),
    maxSize: 3,
    maxConcurrent: 2,
    maxWaitMs: 60_000,
    isInputError: (error) => error === inputError,
    ...options,
  })
  return { started, double }
}

const inputsOf = (started: StartedBatch[]) => started.map(({ inputs }) => inputs)

/** Waits until this many batches have started. */
const waitForBatches = (started: StartedBatch[], count: number) =>
  expect.poll(() => started.length, { interval: 1 }).toBe(count)

test('the calls of one turn of the event loop are one batch, and each call gets its own result', async () => {
  const { started, double } = createDoubler()
  const results = Promise.all([double(1), double(2), double(3)])
  expect(started).toEqual([])
  await waitForBatches(started, 1)
  started[0]?.resolve()
  expect(await results).toEqual([2, 4, 6])
  expect(inputsOf(started)).toEqual([[1, 2, 3]])
})

test('calls wait while the maximum number of batches is in progress, and form larger batches', async () => {
  const { started, double } = createDoubler()
  const results = [double(1)]
  await waitForBatches(started, 1)
  results.push(double(2))
  await waitForBatches(started, 2)
  for (const n of [3, 4, 5, 6]) {
    results.push(double(n))
    await new Promise(setImmediate)
  }
  // Two batches may be in progress. The calls that wait form batches of at most three calls.
  expect(inputsOf(started)).toEqual([[1], [2]])
  started[1]?.resolve()
  await waitForBatches(started, 3)
  started[0]?.resolve()
  await waitForBatches(started, 4)
  expect(inputsOf(started)).toEqual([[1], [2], [3, 4, 5], [6]])
  started[2]?.resolve()
  started[3]?.resolve()
  expect(await Promise.all(results)).toEqual([2, 4, 6, 8, 10, 12])
})

test('until `headStartMs` after the start of a batch, later calls wait for the end of the batch', async () => {
  const { started, double } = createDoubler({ headStartMs: 60_000 })
  const first = double(1)
  await waitForBatches(started, 1)
  const others = [double(2)]
  await new Promise(setImmediate)
  others.push(double(3))
  await new Promise(setImmediate)
  expect(inputsOf(started)).toEqual([[1]])
  started[0]?.resolve()
  expect(await first).toBe(2)
  await waitForBatches(started, 2)
  expect(inputsOf(started)).toEqual([[1], [2, 3]])
  started[1]?.resolve()
  expect(await Promise.all(others)).toEqual([4, 6])
})

test('a batch that has not ended after `headStartMs` no longer delays later calls', async () => {
  const { started, double } = createDoubler({ headStartMs: 5 })
  const unfinished = double(1)
  await waitForBatches(started, 1)
  for (const n of [2, 3]) {
    const next = double(n)
    await waitForBatches(started, n)
    started[n - 1]?.resolve()
    expect(await next).toBe(2 * n)
  }
  started[0]?.resolve()
  expect(await unfinished).toBe(2)
})

test('a batch of `readySize` calls starts at once while one batch is in progress, but not while two batches are', async () => {
  const { started, double } = createDoubler({
    maxSize: 5,
    maxConcurrent: 3,
    headStartMs: 60_000,
    readySize: 2,
  })
  const results = [1, 2, 3, 4, 5].map((n) => double(n))
  expect(inputsOf(started)).toEqual([
    [1, 2],
    [3, 4],
  ])
  await new Promise(setImmediate)
  results.push(...[6, 7].map((n) => double(n)))
  await new Promise(setImmediate)
  expect(started.length).toBe(2)
  started[0]?.resolve()
  await waitForBatches(started, 3)
  expect(started[2]?.inputs).toEqual([5, 6, 7])
  for (const batch of started) batch.resolve()
  expect(await Promise.all(results)).toEqual([2, 4, 6, 8, 10, 12, 14])
})

test('a failed batch rejects all of its calls with the same error, but rejects no call of another batch', async () => {
  const { started, double } = createDoubler()
  const failed = Promise.allSettled([double(1), double(2)])
  await waitForBatches(started, 1)
  const succeeding = double(3)
  await waitForBatches(started, 2)
  const reason = new Error('unavailable')
  started[0]?.reject(reason)
  expect(await failed).toEqual([
    { status: 'rejected', reason },
    { status: 'rejected', reason },
  ])
  started[1]?.resolve()
  expect(await succeeding).toBe(6)
})

test('an input that makes its batch fail rejects only its own call', async () => {
  const attempts: number[][] = []
  const { double } = createDoubler({
    run: async (inputs) => {
      attempts.push(inputs)
      if (inputs.includes(2)) throw inputError
      return inputs.map((n) => 2 * n)
    },
  })
  expect(await Promise.allSettled([double(1), double(2), double(3)])).toEqual([
    { status: 'fulfilled', value: 2 },
    { status: 'rejected', reason: inputError },
    { status: 'fulfilled', value: 6 },
  ])
  // After an error because of an input, each input is tried alone.
  expect(attempts).toEqual([[1, 2, 3], [1], [2], [3]])
})

test('calls whose batch cannot start within `maxWaitMs` are rejected, and later calls succeed', async () => {
  const { started, double } = createDoubler({ maxConcurrent: 1, maxWaitMs: 20 })
  const first = double(1)
  await waitForBatches(started, 1)
  const waiting = [double(2), double(3)]
  expect(await Promise.allSettled(waiting)).toMatchObject([
    { reason: { message: 'no batch could start within 20 ms' } },
    { reason: { message: 'no batch could start within 20 ms' } },
  ])
  started[0]?.resolve()
  expect(await first).toBe(2)
  const last = double(4)
  await waitForBatches(started, 2)
  started[1]?.resolve()
  expect(await last).toBe(8)
  expect(inputsOf(started)).toEqual([[1], [4]])
})
