import { expect } from 'vitest'
import type { Check } from '../../src/doctor/check.js'

/** Expects this status and a message that matches. Also expects advice, unless the status is `ok`. */
export function expectCheck(check: Check, status: Check['status'], message: RegExp): void {
  expect(check).toMatchObject({ status, message: expect.stringMatching(message) })
  expect(check.advice === undefined).toBe(status === 'ok')
}
