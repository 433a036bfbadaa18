import { expect, test } from 'vitest'
import { unlessAborted } from '../../src/async/abort.js'
import { LastLogoutError } from '../../src/errors.js'

const never = new Promise<never>(() => {})

test('resolves and rejects as the promise does', async () => {
  const { signal } = new AbortController()
  expect(await unlessAborted(Promise.resolve(1), signal)).toBe(1)
  await expect(unlessAborted(Promise.reject(new Error('x')), signal)).rejects.toThrow('x')
})

test('rejects when the signal aborts, or has aborted, even if the promise never settles', async () => {
  const controller = new AbortController()
  const running = unlessAborted(never, controller.signal)
  controller.abort()
  await expect(running).rejects.toMatchObject({ code: 'ABORTED' })
  await expect(unlessAborted(never, controller.signal)).rejects.toMatchObject({ code: 'ABORTED' })
})

test('rejects with the error that the signal was aborted with, if that is one of ours', async () => {
  const error = new LastLogoutError('AUTH0_UNAVAILABLE', 'timed out')
  await expect(unlessAborted(never, AbortSignal.abort(error))).rejects.toBe(error)
})
