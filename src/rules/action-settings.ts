/** Default name of the login Action. */
export const ACTION_NAME = 'last-logout'

/** The modes of the login Action. The first value of this list, and of each list below, is the default. */
export const MODES = ['enforce', 'observe'] as const

/** What the login Action does with an exchange if the revocation status is unknown. */
export const ON_ERROR = ['allow', 'deny'] as const

/** Which policy the login Action applies; `service`: the policy of the service. */
export const POLICIES = ['service', 'session', 'user'] as const

/** Upper bound of the login Action's request timeout, in milliseconds. All Actions of a trigger share 20 s. */
export const MAX_TIMEOUT_MS = 8_000

/** The beginning of each denial of the login Action, by which an application recognizes it. */
export const DENIAL_PREFIX = 'last_logout:'

/**
 * The denials of the login Action, which an application receives. After `revoked`, the application must log the user in
 * again, with `prompt=login`. `unknown` is used only if `LAST_LOGOUT_ON_ERROR` is `deny`.
 */
export const DENIALS = {
  revoked: `${DENIAL_PREFIX} the session was logged out`,
  unknown: `${DENIAL_PREFIX} the revocation status of the session is unavailable`,
} as const

/** The optional secrets of the login Action. */
export const OPTIONAL_SECRETS = [
  'LAST_LOGOUT_MODE',
  'LAST_LOGOUT_ON_ERROR',
  'LAST_LOGOUT_TIMEOUT_MS',
  'LAST_LOGOUT_NAMESPACE',
  'LAST_LOGOUT_POLICY',
] as const
