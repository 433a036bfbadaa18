/** Event types that end only one session, if the entry names that session. */
const SESSION_TYPES = ['slo', 'session_revoked'] as const

/** Event types that always count as a logout. */
export const DEFAULT_TYPES = ['slo', 'universal_logout_succeeded'] as const

/** Event types that count as a logout if `EVENT_TYPES` names them. */
export const OPTIONAL_TYPES = [
  'scp',
  'sce',
  'scu',
  'scpn',
  'session_revoked',
  'oidc_backchannel_logout_succeeded',
] as const

/**
 * Event types that never count as a logout, each for one of these reasons:
 *
 * - An outsider can cause such an entry.
 * - The `user_id` of the entry is not the user who was logged out.
 * - No session has ended.
 */
const FORBIDDEN_TYPES = /^(flo|scpr|sapi|srrt|limit_.*|.*pwd_leak)$/

/** Initiators of a back-channel logout that end all sessions of the user. */
const BACKCHANNEL_INITIATORS = new Set([
  'password-changed',
  'session-revoked',
  'account-deleted',
  'email-identifier-changed',
])

/** Returns why `EVENT_TYPES` must not name this event type; `null`: `EVENT_TYPES` may name it. */
export function findTypeProblem(type: string): 'forbidden' | 'unknown' | null {
  if (FORBIDDEN_TYPES.test(type)) return 'forbidden'
  const types: readonly string[] = [...DEFAULT_TYPES, ...OPTIONAL_TYPES]
  return types.includes(type) ? null : 'unknown'
}

/** Whether an entry of this type ends only the session that it names. */
export function endsOneSession(type: string): boolean {
  return (SESSION_TYPES as readonly string[]).includes(type)
}

/** Whether a back-channel logout with this initiator ends all sessions of the user. */
export function initiatorEndsAllSessions(initiator: unknown): boolean {
  return typeof initiator === 'string' && BACKCHANNEL_INITIATORS.has(initiator)
}
