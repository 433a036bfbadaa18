import type { Instant } from './instant.js'
import { isMachine, type Token } from './token.js'

/** Which tokens a logout revokes. `session`: the tokens of its session. `user`: all tokens of its user. */
export type Policy = 'session' | 'user'

/** The known logouts that can apply to a token. `null`: no logout is known. */
export interface KnownLogouts {
  /** The last logout of the user, and the last logout that ended all sessions of the user. */
  user: { at: Instant; allSessionsAt: Instant | null } | null
  /** The last logout of the session. `ended`: Auth0 has ended the session. */
  session: { at: Instant; ended: boolean } | null
  /** The floor: the tokens of all users whose login is not after this instant are revoked. */
  floorAt: Instant | null
}

/** Why a token is revoked. */
export type RevokedReason =
  | 'session_ended'
  | 'session_logout'
  | 'all_sessions_logout'
  | 'user_logout'
  | 'floor'
  | 'login_unknown'

/** Why a token is not revoked. */
type AcceptedReason = 'no_logout' | 'login_after_logout' | 'machine_token'

/**
 * Whether a token is revoked, and why. A logout covers a token if the logout applies to the user or the session of the
 * token. The floor covers the tokens of all users. `lastLogoutAt` is the newest logout that covers the token.
 */
export type Verdict = { lastLogoutAt: Instant | null; loginAt: Instant | null } & (
  | { revoked: true; reason: RevokedReason }
  | { revoked: false; reason: AcceptedReason }
)

/** The outcome of a check. `unknown`: the known logouts, the claims or the freshness of the data are not sufficient. */
export type Outcome = 'accepted' | 'revoked' | 'unknown'

/** Options of {@link judge}. */
export interface JudgeOptions {
  policy: Policy
  /** Tolerance for differing clocks, in milliseconds. Added to the time of the login. Default: 0. */
  leewayMs?: number
}

/** A logout that covers the token, and the reason with which it revokes the token. */
interface CoveringInstant {
  at: Instant
  reason: RevokedReason
}

/** Judges a token whose signature, issuer and audience the caller has verified. */
export function judge(token: Token, knownLogouts: KnownLogouts, options: JudgeOptions): Verdict {
  const { loginAt } = token
  if (isMachine(token.subject)) {
    return { revoked: false, reason: 'machine_token', lastLogoutAt: null, loginAt }
  }
  const cover = findNewestCover(token, knownLogouts, options.policy)
  const lastLogoutAt = cover?.at ?? null
  if (token.sessionId !== null && knownLogouts.session?.ended === true) {
    return { revoked: true, reason: 'session_ended', lastLogoutAt, loginAt }
  }
  if (cover === null) return { revoked: false, reason: 'no_logout', lastLogoutAt, loginAt }
  if (loginAt === null) return { revoked: true, reason: 'login_unknown', lastLogoutAt, loginAt }
  return loginAt + (options.leewayMs ?? 0) <= cover.at
    ? { revoked: true, reason: cover.reason, lastLogoutAt, loginAt }
    : { revoked: false, reason: 'login_after_logout', lastLogoutAt, loginAt }
}

/** Returns the newest logout that covers the token; `null`: there is none. */
function findNewestCover(
  token: Token,
  { user, session, floorAt }: KnownLogouts,
  policy: Policy,
): CoveringInstant | null {
  let cover: CoveringInstant | null = null
  if (session !== null && token.sessionId !== null) {
    cover = { at: session.at, reason: 'session_logout' }
  }
  if (user !== null) {
    cover = newer(cover, user.allSessionsAt, 'all_sessions_logout')
    const isAnySession = policy === 'user' || token.sessionId === null
    if (isAnySession) cover = newer(cover, user.at, 'user_logout')
  }
  return newer(cover, floorAt, 'floor')
}

function newer(
  cover: CoveringInstant | null,
  at: Instant | null,
  reason: RevokedReason,
): CoveringInstant | null {
  if (at === null || (cover !== null && at <= cover.at)) return cover
  return { at, reason }
}
