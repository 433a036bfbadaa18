import type { Check } from './check.js'
import { failure, ok, warning } from './check.js'

/** The scopes that the worker needs. */
const REQUIRED = ['read:logs', 'read:logs_users']
/** The scopes that `action status` and the check of the login Action need. */
const OPTIONAL = ['read:actions']
const GRANT =
  'Dashboard > Applications > the machine-to-machine application > APIs > Auth0 Management API'

/**
 * Checks that the token has all needed scopes and no other scopes. `scopes` is `null` if the token response does not
 * contain the scopes.
 */
export function checkScopes(scopes: string[] | null): Check {
  if (scopes === null) {
    return warning('scopes', 'the token response does not state the scopes', `check them: ${GRANT}`)
  }
  if (!scopes.includes('read:logs')) {
    return failure('scopes', `read:logs is missing (${list(scopes)})`, `grant it: ${GRANT}`)
  }
  if (!scopes.includes('read:logs_users')) {
    return warning(
      'scopes',
      'read:logs_users is missing: entries may lack their user',
      `grant it: ${GRANT}`,
    )
  }
  const excess = scopes.filter((scope) => ![...REQUIRED, ...OPTIONAL].includes(scope))
  if (excess.length === 0) return ok('scopes', list(scopes))
  return warning(
    'scopes',
    `the token has more scopes than are needed: ${list(excess)}`,
    `remove them, because a stolen AUTH0_CLIENT_SECRET has them too: ${GRANT}. For \`action deploy\`, grant its scopes only while it runs, or to another application`,
  )
}

function list(scopes: string[]): string {
  const shown = scopes.slice(0, 8).join(', ') || 'none'
  return scopes.length > 8 ? `${shown} and ${scopes.length - 8} more` : shown
}
