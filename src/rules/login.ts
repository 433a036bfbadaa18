import { type Instant, later, readDateTime } from './instant.js'

/**
 * Protocols of interactive transactions: the user has a live session or enters credentials. All other transactions
 * exchange a refresh token or another older credential for new tokens.
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

/** Fields of the event that Auth0 passes to the login Action. Most of them can be missing. */
export interface LoginFacts {
  protocol: unknown
  /** When the exchanged refresh token was created. Available on Enterprise plans only. */
  refreshTokenCreatedAt: unknown
  /** When each authentication method was completed. */
  methodTimestamps: readonly unknown[]
}

/** The login that led to a token. */
export interface Login {
  /** Whether the user has a live session or has just entered credentials. */
  interactive: boolean
  /** When the login happened; `null`: unknown. */
  loginAt: Instant | null
}

/**
 * Determines when the login happened.
 *
 * - In an interactive transaction: now. The beginning of the session is not used, because after a logout on another
 *   device, every silent login on this device would yield a token that is already revoked.
 * - In any other transaction: when the refresh token was created, else when the newest authentication method was
 *   completed. Instants in the future are ignored.
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

/** Reads an RFC 3339 string or a `Date`. `instanceof` does not recognize a `Date` of another realm. */
function readTime(value: unknown): Instant | null {
  return value !== null && typeof value === 'object' && 'toJSON' in value
    ? readDateTime((value as Date).toJSON())
    : readDateTime(value)
}
