import { type ActionStatus, readActionStatus } from '../auth0/actions/login-action.js'
import type { ManagementApi } from '../auth0/management-api.js'
import { hasCode } from '../errors.js'
import { REQUIRED_SECRETS } from '../rules/action-settings.js'
import { type Check, describeError, failure, ok, warning } from './check.js'

/** Name of the check. */
export const ACTION_CHECK = 'login Action'

const DEPLOY = 'run `last-logout action deploy` with the same options as before'

interface ActionAccess {
  /** The scopes of the token; `null`: the token response does not contain them. */
  scopes: string[] | null
  signal: AbortSignal
}

/** Checks that the login Action runs at each login. Skips the check if the token lacks the scope `read:actions`. */
export async function checkAction(
  api: ManagementApi,
  name: string,
  { scopes, signal }: ActionAccess,
): Promise<Check> {
  // Without the scope, no request is sent. Auth0 would refuse the request, and this program would then request a new
  // token. Each token request adds an entry to the log.
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
 * Creates the result of the skipped check. The message does not advise to grant the scope, because only a deployment
 * needs the scope.
 */
function toSkippedCheck(): Check {
  const message =
    'not checked: the application lacks read:actions, which it needs only during a deployment; see Dashboard > Actions > Triggers > post-login'
  return { name: ACTION_CHECK, status: 'skipped', message }
}

/** Converts the state of the login Action in the tenant to the result of the check. */
export function toActionCheck(status: ActionStatus): Check {
  const { exists, current, deployed, position, bindings, secretNames } = status
  if (!exists) {
    return warning(
      ACTION_CHECK,
      'missing: tokens are judged by iat alone. A token that was issued for a refresh token after the logout is accepted, and no token names its session',
      'when you are ready, run `last-logout action deploy --url https://<your host> --mode observe`; see docs/login-action.md',
    )
  }
  const missing = REQUIRED_SECRETS.filter((name) => !secretNames.includes(name))
  const faults = [
    position === null && 'it is not bound to post-login and never runs',
    !deployed && 'its draft is not deployed',
    !current && 'it is from another version of last-logout',
    missing.length > 0 && `it lacks the secret ${missing.join(' and ')}`,
  ].filter((fault) => fault !== false)
  if (faults.length > 0) return warning(ACTION_CHECK, faults.join('; '), DEPLOY)
  return ok(ACTION_CHECK, `deployed, of this version, and bound as ${position} of ${bindings}`)
}
