/** Default name of the login Action: the code that Auth0 runs after each login and each use of a refresh token. */
export const ACTION_NAME = 'last-logout'

/** The modes of the login Action. Default: the first. An Action that observes denies nothing. */
export const MODES = ['enforce', 'observe'] as const

/** What the login Action does with a refresh token whose revocation status is unknown. Default: the first. */
export const ON_ERROR = ['allow', 'deny'] as const

/** The policies of the login Action. Default: the first, which is the policy that the service sends. */
export const POLICIES = ['service', 'session', 'user'] as const

/** Maximum request timeout of the login Action, in milliseconds. All Actions of a trigger share a limit of 20 s. */
export const MAX_TIMEOUT_MS = 8_000

/** The beginning of each message with which the login Action denies a request. */
export const DENIAL_PREFIX = 'last_logout:'

/**
 * The messages with which the login Action denies a request. Applications receive them with the error `access_denied`.
 * After `revoked`, an application must log the user in with `prompt=login`. `unknown` is sent only if
 * `LAST_LOGOUT_ON_ERROR` is `deny`.
 */
export const DENIALS = {
  revoked: `${DENIAL_PREFIX} the session was logged out`,
  unknown: `${DENIAL_PREFIX} the revocation status of the session is unavailable`,
} as const

/** The secrets without which the login Action cannot request last logouts. */
export const REQUIRED_SECRETS = ['LAST_LOGOUT_URL', 'LAST_LOGOUT_API_KEY'] as const

/** The optional secrets of the login Action. */
export const OPTIONAL_SECRETS = [
  'LAST_LOGOUT_MODE',
  'LAST_LOGOUT_ON_ERROR',
  'LAST_LOGOUT_TIMEOUT_MS',
  'LAST_LOGOUT_NAMESPACE',
  'LAST_LOGOUT_POLICY',
] as const
