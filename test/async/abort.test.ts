import { expect, test } from 'vitest'
import { unlessAborted } from '../../src/async/abort.js'
import { LastLogoutError } from '../../src/errors.js'

const neverSettled = new Promise<never>(() => {})

test('without an abort, unlessAborted resolves or rejects as the promise does', async () => {
  const { signal } = new AbortController()
  expect(await unlessAborted(Promise.resolve(1), signal)).toBe(1)
  await expect(unlessAborted(Promise.reject(new Error('x')), signal)).rejects.toThrow('x')
})

test('unlessAborted rejects when the signal aborts or has already aborted, even if the promise never settles', async () => {
  const controller = new AbortController()
  const result = unlessAborted(neverSettled, controller.signal)
  controller.abort()
  await expect(result).rejects.toMatchObject({ code: 'ABORTED' })
  await expect(unlessAborted(neverSettled, controller.signal)).rejects.toMatchObject({
    code: 'ABORTED',
  })
})

test('unlessAborted rejects with the reason of the abort if this reason is a LastLogoutError', async () => {
  const error = new LastLogoutError('AUTH0_UNAVAILABLE', 'timed out')
  await expect(unlessAborted(neverSettled, AbortSignal.abort(error))).rejects.toBe(error)
})
