import { test } from 'vitest'
import type { Check } from '../../src/doctor/check.js'
import { checkScopes } from '../../src/doctor/scopes.js'
import { expectCheck } from './expect-check.js'

test.each<[string, string[] | null, Check['status'], RegExp]>([
  ['the required ones', ['read:logs', 'read:logs_users'], 'ok', /read:logs, read:logs_users/],
  [
    'those and read:actions',
    ['read:logs', 'read:logs_users', 'read:actions'],
    'ok',
    /read:actions/,
  ],
  ['no read:logs', ['read:users'], 'failure', /read:logs is missing \(read:users\)/],
  ['none', [], 'failure', /\(none\)/],
  ['no read:logs_users', ['read:logs'], 'warning', /read:logs_users is missing/],
  [
    'more than are needed',
    ['read:logs', 'read:logs_users', 'update:users'],
    'warning',
    /more scopes than are needed: update:users/,
  ],
  ['not stated', null, 'warning', /does not state/],
])('the scopes of a token are judged: %s', (_what, scopes, status, message) => {
  expectCheck(checkScopes(scopes), status, message)
})
