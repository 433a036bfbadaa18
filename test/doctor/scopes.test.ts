import { test } from 'vitest'
import type { Check } from '../../src/doctor/check.js'
import { checkScopes } from '../../src/doctor/scopes.js'
import { expectCheck } from './expect-check.js'

test.each<[Check['status'], token: string, scopes: string[] | null, message: RegExp]>([
  [
    'ok',
    'with the required scopes',
    ['read:logs', 'read:logs_users'],
    /read:logs, read:logs_users/,
  ],
  [
    'ok',
    'with the required scopes and read:actions',
    ['read:logs', 'read:logs_users', 'read:actions'],
    /read:actions/,
  ],
  ['failure', 'without read:logs', ['read:users'], /read:logs is missing \(read:users\)/],
  ['failure', 'without any scope', [], /\(none\)/],
  ['warning', 'without read:logs_users', ['read:logs'], /read:logs_users is missing/],
  [
    'warning',
    'with more scopes than are needed',
    ['read:logs', 'read:logs_users', 'update:users'],
    /more scopes than are needed: update:users/,
  ],
  ['warning', 'whose scopes are unknown', null, /does not state/],
])(
  'the check of the scopes has the status %s for a token %s',
  (status, _token, scopes, message) => {
    expectCheck(checkScopes(scopes), status, message)
  },
)
