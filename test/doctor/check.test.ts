import { expect, test } from 'vitest'
import { describeError } from '../../src/doctor/check.js'
import { abortedError, LastLogoutError } from '../../src/errors.js'

// The message of an error from another program can contain a secret, so `describeError` does not return this message.
test.each<[kind: string, description: string, error: Error]>([
  ['an error of last-logout', 'what to do', new LastLogoutError('AUTH0_UNAVAILABLE', 'what to do')],
  ['an aborted request', 'no response in time', abortedError()],
  [
    'an error with a code',
    'ECONNREFUSED',
    Object.assign(new Error('user:password'), { code: 'ECONNREFUSED' }),
  ],
  ['an error of Redis', 'WRONGPASS', new Error('WRONGPASS invalid password')],
  ['any other error', 'TypeError', new TypeError('a secret')],
])('describeError describes %s as `%s`', (_kind, description, error) => {
  expect(describeError(error)).toBe(description)
})
