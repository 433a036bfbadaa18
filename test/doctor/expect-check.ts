import { expect } from 'vitest'
import type { Check } from '../../src/doctor/check.js'

/** Expects the result of a check. Only a check that is `ok` has no advice. */
export function expectCheck(check: Check, status: Check['status'], message: RegExp): void {
  expect(check).toMatchObject({ status, message: expect.stringMatching(message) })
  expect(check.advice === undefined).toBe(status === 'ok')
}
