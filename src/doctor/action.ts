import { type ActionStatus, readActionStatus } from '../auth0/actions/login-action.js'
import type { ManagementApi } from '../auth0/management-api.js'
import { hasCode } from '../errors.js'
import { type Check, describeError, failure, ok, warning } from './check.js'

/** What the check is called. */
export const ACTION_CHECK = 'login Action'

const DEPLOY = '`last-logout action deploy`, with the options of before'
const SECRETS = ['LAST_LOGOUT_URL', 'LAST_LOGOUT_API_KEY']

/** What the token may do, and what ends the asking. */
interface ActionAccess {
  /** `null`: the token does not say. */
  scopes: string[] | null
  signal: AbortSignal
}

/** Whether the login Action runs at each login. */
export async function checkAction(
  api: ManagementApi,
  name: string,
  { scopes, signal }: ActionAccess,
): Promise<Check> {
  // Being refused would cost a second token.
  if (scopes !== null && !scopes.includes('read:actions')) return notAsked()
  try {
    return toActionCheck(await readActionStatus({ api, name }, signal))
  } catch (error) {
    return hasCode(error, 'AUTH0_SCOPE') ? notAsked() : failure(ACTION_CHECK, describeError(error))
  }
}

/** The worker should not have that scope: it is granted for a deployment. */
function notAsked(): Check {
  const message =
    'not asked: the application lacks read:actions, as it should but while it deploys; see Dashboard > Actions > Triggers > post-login'
  return { name: ACTION_CHECK, status: 'skipped', message }
}

/** Judges what the tenant has of it. */
export function toActionCheck(status: ActionStatus): Check {
  const { exists, current, deployed, position, bindings, secretNames } = status
  if (!exists) {
    return warning(
      ACTION_CHECK,
      'not there: tokens are judged by iat alone, so that one minted from a refresh token after the logout passes, and no token names its session',
      `${DEPLOY}, when you are ready for it`,
    )
  }
  const missing = SECRETS.filter((name) => !secretNames.includes(name))
  const faults = [
    position === null && 'not bound to post-login: it never runs',
    !deployed && 'not deployed as it stands',
    !current && 'of another version than this program',
    missing.length > 0 && `without its secret ${missing.join(' and ')}`,
  ].filter((fault) => fault !== false)
  if (faults.length > 0) return warning(ACTION_CHECK, faults.join('; '), DEPLOY)
  return ok(ACTION_CHECK, `deployed, of this version, and bound as ${position} of ${bindings}`)
}
