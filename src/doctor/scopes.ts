import type { Check } from './check.js'
import { failure, ok, warning } from './check.js'

const NEEDED = ['read:logs', 'read:logs_users']
/** What `action status` needs, and this program. */
const USEFUL = ['read:actions']
const GRANT =
  'Dashboard > Applications > the machine-to-machine application > APIs > Auth0 Management API'

/** Whether the token may do what is needed, and no more. `null`: the grant did not say. */
export function checkScopes(scopes: string[] | null): Check {
  if (scopes === null) {
    return warning('scopes', 'the token does not name its scopes', `see ${GRANT}`)
  }
  if (!scopes.includes('read:logs')) {
    return failure('scopes', `read:logs is missing (${list(scopes)})`, `grant it: ${GRANT}`)
  }
  if (!scopes.includes('read:logs_users')) {
    return warning(
      'scopes',
      'read:logs_users is missing: entries may come without their user',
      `grant it: ${GRANT}`,
    )
  }
  const more = scopes.filter((scope) => ![...NEEDED, ...USEFUL].includes(scope))
  if (more.length === 0) return ok('scopes', list(scopes))
  return warning(
    'scopes',
    `the token may do more than is needed: ${list(more)}`,
    `withdraw it, as whoever gets hold of AUTH0_CLIENT_SECRET has it too: ${GRANT}. For \`action deploy\`, grant what it needs only while it runs, or to another application`,
  )
}

function list(scopes: string[]): string {
  const shown = scopes.slice(0, 8).join(', ') || 'none'
  return scopes.length > 8 ? `${shown} and ${scopes.length - 8} more` : shown
}
