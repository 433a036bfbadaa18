import { test } from 'vitest'
import type { ActionStatus } from '../../src/auth0/actions/login-action.js'
import { toActionCheck } from '../../src/doctor/action.js'
import type { Check } from '../../src/doctor/check.js'
import { expectCheck } from './expect-check.js'

const action: ActionStatus = {
  exists: true,
  current: true,
  deployed: true,
  position: 2,
  bindings: 3,
  secretNames: ['LAST_LOGOUT_URL', 'LAST_LOGOUT_API_KEY'],
}
test.each<[string, Partial<ActionStatus>, Check['status'], RegExp]>([
  ['bound and current', {}, 'ok', /bound as 2 of 3/],
  ['missing', { exists: false }, 'warning', /judged by iat alone/],
  ['not bound', { position: null }, 'warning', /never runs/],
  ['changed and not deployed', { deployed: false }, 'warning', /its draft is not deployed/],
  ['from another version', { current: false }, 'warning', /another version/],
  [
    'without its API key',
    { secretNames: ['LAST_LOGOUT_URL'] },
    'warning',
    /secret LAST_LOGOUT_API_KEY/,
  ],
])(
  'the check of the login Action has the right status: %s',
  (_what, overrides, status, message) => {
    expectCheck(toActionCheck({ ...action, ...overrides }), status, message)
  },
)
