import { test } from 'vitest'
import type { Check } from '../../src/doctor/check.js'
import { checkScopes } from '../../src/doctor/scopes.js'
import { expectCheck } from './expect-check.js'

test.each<[string, string[] | null, Check['status'], RegExp]>([
  ['the required scopes', ['read:logs', 'read:logs_users'], 'ok', /read:logs, read:logs_users/],
  [
    'the required scopes and read:actions',
    ['read:logs', 'read:logs_users', 'read:actions'],
    'ok',
    /read:actions/,
  ],
  ['no read:logs', ['read:users'], 'failure', /read:logs is missing \(read:users\)/],
  ['no scope', [], 'failure', /\(none\)/],
  ['no read:logs_users', ['read:logs'], 'warning', /read:logs_users is missing/],
  [
    'more scopes than are needed',
    ['read:logs', 'read:logs_users', 'update:users'],
    'warning',
    /more scopes than are needed: update:users/,
  ],
  ['unknown scopes', null, 'warning', /does not state/],
])(
  'the check of the scopes has the right status for a token with %s',
  (_what, scopes, status, message) => {
    expectCheck(checkScopes(scopes), status, message)
  },
)
