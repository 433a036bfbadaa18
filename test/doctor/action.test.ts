import { test } from 'vitest'
import type { ActionStatus } from '../../src/auth0/actions/login-action.js'
import { toActionCheck } from '../../src/doctor/action.js'
import type { Check } from '../../src/doctor/check.js'
import { expectCheck } from './expect-check.js'

/** The state of an Action that passes the check. */
const PASSING_STATUS: ActionStatus = {
  exists: true,
  current: true,
  deployed: true,
  position: 2,
  bindings: 3,
  secretNames: ['LAST_LOGOUT_URL', 'LAST_LOGOUT_API_KEY'],
}

test.each<[Check['status'], condition: string, overrides: Partial<ActionStatus>, message: RegExp]>([
  ['ok', 'is the second of three bound Actions, and current', {}, /bound as 2 of 3/],
  ['warning', 'is missing', { exists: false }, /judged by iat alone/],
  ['warning', 'is not bound', { position: null }, /never runs/],
  [
    'warning',
    'has changes that are not deployed',
    { deployed: false },
    /its draft is not deployed/,
  ],
  ['warning', 'is from another version', { current: false }, /another version/],
  [
    'warning',
    'lacks its API key',
    { secretNames: ['LAST_LOGOUT_URL'] },
    /secret LAST_LOGOUT_API_KEY/,
  ],
])(
  'the check of the login Action has the status %s if the Action %s',
  (status, _condition, overrides, message) => {
    expectCheck(toActionCheck({ ...PASSING_STATUS, ...overrides }), status, message)
  },
)
