import { type ActionStatus, readActionStatus } from '../auth0/actions/login-action.js'
import type { ManagementApi } from '../auth0/management-api.js'
import { hasCode } from '../errors.js'
import { type Check, describeError, failure, ok, warning } from './check.js'

/** Name of the check. */
export const ACTION_CHECK = 'login Action'

const DEPLOY = 'run `last-logout action deploy` with the same options as before'
const SECRETS = ['LAST_LOGOUT_URL', 'LAST_LOGOUT_API_KEY']

interface ActionAccess {
  /** Scopes of the token; `null`: the grant does not state them. */
  scopes: string[] | null
  signal: AbortSignal
}

/** Checks that the login Action runs at each login. Without the scope `read:actions`, the check is skipped. */
export async function checkAction(
  api: ManagementApi,
  name: string,
  { scopes, signal }: ActionAccess,
): Promise<Check> {
  // A request that Auth0 refuses would make this program renew its token, and each grant is an entry of the log.
  if (scopes !== null && !scopes.includes('read:actions')) return toSkippedCheck()
  try {
    return toActionCheck(await readActionStatus({ api, name }, signal))
  } catch (error) {
    return hasCode(error, 'AUTH0_SCOPE')
      ? toSkippedCheck()
      : failure(ACTION_CHECK, describeError(error))
  }
}

/**
 * Creates the skipped check. The check does not advise to grant the scope, because the application needs it only for a
 * deployment.
 */
function toSkippedCheck(): Check {
  const message =
    'not checked: the application lacks read:actions, which it needs only during a deployment; see Dashboard > Actions > Triggers > post-login'
  return { name: ACTION_CHECK, status: 'skipped', message }
}

/** Judges the state of the login Action in the tenant. */
export function toActionCheck(status: ActionStatus): Check {
  const { exists, current, deployed, position, bindings, secretNames } = status
  if (!exists) {
    return warning(
      ACTION_CHECK,
      'missing: tokens are judged by iat alone. A token that was issued for a refresh token after the logout is accepted, and no token names its session',
      'when you are ready, run `last-logout action deploy --url https://<your host> --mode observe`; see docs/login-action.md',
    )
  }
  const missing = SECRETS.filter((name) => !secretNames.includes(name))
  const faults = [
    position === null && 'it is not bound to post-login and never runs',
    !deployed && 'its draft is not deployed',
    !current && 'it is from another version of last-logout',
    missing.length > 0 && `it lacks the secret ${missing.join(' and ')}`,
  ].filter((fault) => fault !== false)
  if (faults.length > 0) return warning(ACTION_CHECK, faults.join('; '), DEPLOY)
  return ok(ACTION_CHECK, `deployed, of this version, and bound as ${position} of ${bindings}`)
}
