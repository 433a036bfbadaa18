/** Default name of the login Action. */
export const ACTION_NAME = 'last-logout'

/** What the login Action does with a revoked login. The first of each list is the default. */
export const MODES = ['enforce', 'observe'] as const

/** What it does when last-logout is unavailable. */
export const ON_ERROR = ['allow', 'deny'] as const

/** Which policy it applies; `service`: that of the service. */
export const POLICIES = ['service', 'session', 'user'] as const

/** Upper bound of its request timeout, in milliseconds: a trigger has 20 s for all its Actions. */
export const MAX_TIMEOUT_MS = 8_000

/** Its optional secrets. */
export const OPTIONAL_SECRETS = [
  'LAST_LOGOUT_MODE',
  'LAST_LOGOUT_ON_ERROR',
  'LAST_LOGOUT_TIMEOUT_MS',
  'LAST_LOGOUT_NAMESPACE',
  'LAST_LOGOUT_POLICY',
] as const
