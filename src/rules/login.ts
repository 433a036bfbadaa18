import { type Instant, later, readDateTime } from './instant.js'

/**
 * The protocols of transactions with a live session or fresh credentials: browser flows, device,
 * CIBA, password and passkey. Everything else exchanges something that is older.
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

/** What Auth0 tells of a login; hardly a field of it is certain. */
export interface LoginFacts {
  protocol: unknown
  /** Of the refresh token that is exchanged; only Enterprise plans have it. */
  refreshTokenCreatedAt: unknown
  /** When each authentication method was completed. */
  methodTimestamps: readonly unknown[]
}

/** When a token's login happened, as seen when the token is issued. */
export interface Login {
  /** There is a live session, or credentials have just been given. */
  interactive: boolean
  /** `null`: nothing tells. */
  loginAt: Instant | null
}

/**
 * An interactive login happens now: the session's first login would lock another device into a loop
 * of silent logins that are refused. An exchange is as old as the refresh token, else as the newest
 * authentication. What lies in the future is not believed.
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

/** An RFC 3339 text, or a `Date`, perhaps of another realm. */
function readTime(value: unknown): Instant | null {
  return value !== null && typeof value === 'object' && 'toJSON' in value
    ? readDateTime((value as Date).toJSON())
    : readDateTime(value)
}
