import { type Instant, later, readDateTime } from './instant.js'

/**
 * Protocols of transactions with a live session or fresh credentials: browser flows, device, CIBA, password
 * and passkey. All others exchange an older credential.
 *
 * @see https://auth0.com/docs/customize/actions/reference/post-login/post-login-event-object
 */
const INTERACTIVE = new Set<unknown>([
  'oidc-basic-profile',
  'oidc-implicit-profile',
  'oidc-hybrid-profile',
  'oidc-ciba',
  'oidc-ciba-web-link',
  'oauth2-device-code',
  'oauth2-resource-owner',
  'oauth2-password',
  'oauth2-webauthn',
  'samlp',
  'wsfed',
  'wstrust-usernamemixed',
])

/** Whether a transaction of this protocol has a live session or fresh credentials. */
export function isInteractive(protocol: unknown): boolean {
  return INTERACTIVE.has(protocol)
}

/** What Auth0 passes to the Action. Almost no field is guaranteed. */
export interface LoginFacts {
  protocol: unknown
  /** Of the exchanged refresh token. Available on Enterprise plans only. */
  refreshTokenCreatedAt: unknown
  /** When each authentication method was completed. */
  methodTimestamps: readonly unknown[]
}

/** The login behind a token, as known when the token is issued. */
export interface Login {
  /** The user has a live session or has just given credentials. */
  interactive: boolean
  /** `null`: unknown. */
  loginAt: Instant | null
}

/**
 * Determines when the login happened. For an interactive transaction: now. The first login of the session would
 * be wrong, since another device would repeat refused silent logins. For an exchange: the creation of the
 * refresh token, else the newest authentication. Instants in the future are ignored.
 */
export function readLogin(facts: LoginFacts, now: Instant): Login {
  if (isInteractive(facts.protocol)) return { interactive: true, loginAt: now }
  const readPast = (value: unknown) => {
    const at = readTime(value)
    return at !== null && at <= now ? at : null
  }
  const newestMethod = facts.methodTimestamps.map(readPast).reduce(later, null)
  return { interactive: false, loginAt: readPast(facts.refreshTokenCreatedAt) ?? newestMethod }
}

/** Reads an RFC 3339 string or a `Date`, which can belong to another realm. */
function readTime(value: unknown): Instant | null {
  return value !== null && typeof value === 'object' && 'toJSON' in value
    ? readDateTime((value as Date).toJSON())
    : readDateTime(value)
}
