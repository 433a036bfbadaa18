import { expect, test } from 'vitest'
import { describeError } from '../../src/doctor/check.js'
import { abortedError, LastLogoutError } from '../../src/errors.js'

test.each([
  [new LastLogoutError('AUTH0_UNAVAILABLE', 'what to do'), 'what to do'],
  [abortedError(), 'no response in time'],
  [Object.assign(new Error('user:password'), { code: 'ECONNREFUSED' }), 'ECONNREFUSED'],
  [new Error('WRONGPASS invalid password'), 'WRONGPASS'],
  [new TypeError('a secret'), 'TypeError'],
])('describeError describes %o as %s', (error, text) => {
  expect(describeError(error)).toBe(text)
})
