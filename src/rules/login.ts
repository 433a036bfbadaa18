import { type Instant, later, readDateTime } from './instant.js'

/**
 * Protocols of transactions in which the user has a live session or enters credentials: browser flows, device flow, CIBA,
 * password and passkey. In all other transactions, a refresh token or another older credential is exchanged.
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

/** Whether the user has a live session, or enters credentials, in a transaction with this protocol. */
export function isInteractive(protocol: unknown): boolean {
  return INTERACTIVE.has(protocol)
}

/** The fields of the Action's event that show when the login happened. Auth0 guarantees almost none of them. */
export interface LoginFacts {
  protocol: unknown
  /** When the exchanged refresh token was created. Available on Enterprise plans only. */
  refreshTokenCreatedAt: unknown
  /** When each authentication method was completed. */
  methodTimestamps: readonly unknown[]
}

/** The login that a token results from, as known when the token is issued. */
export interface Login {
  /** Whether the user has a live session or has just entered credentials. */
  interactive: boolean
  /** When the login happened; `null`: unknown. */
  loginAt: Instant | null
}

/**
 * Determines when the login happened.
 *
 * - In an interactive transaction: now, not when the session began. Otherwise, after a logout on another device, this
 *   device would repeat silent logins whose tokens are all rejected.
 * - At an exchange: when the refresh token was created, else when the newest authentication method was completed.
 *   Instants in the future are ignored.
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

/** Reads an RFC 3339 string or a `Date`. The `Date` can belong to another realm, so `instanceof` is not used. */
function readTime(value: unknown): Instant | null {
  return value !== null && typeof value === 'object' && 'toJSON' in value
    ? readDateTime((value as Date).toJSON())
    : readDateTime(value)
}
