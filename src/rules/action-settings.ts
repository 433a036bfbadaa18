/** The name of the login Action, unless told otherwise. */
export const ACTION_NAME = 'last-logout'

/** What the login Action does with a refusal: the first of each list is the default. */
export const MODES = ['enforce', 'observe'] as const

/** What it does where it cannot find out. */
export const ON_ERROR = ['allow', 'deny'] as const

/** By whose policy it judges. */
export const POLICIES = ['service', 'session', 'user'] as const

/** How long it may wait for the service at most, in milliseconds: a trigger has 20 s for all its Actions. */
export const LONGEST_TIMEOUT_MS = 8_000

/** Its secrets beside those that it cannot do without. */
export const OPTIONAL_SECRETS = [
  'LAST_LOGOUT_MODE',
  'LAST_LOGOUT_ON_ERROR',
  'LAST_LOGOUT_TIMEOUT_MS',
  'LAST_LOGOUT_NAMESPACE',
  'LAST_LOGOUT_POLICY',
] as const
