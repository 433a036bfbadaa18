/** Types that end one session, where the entry names it. */
const SESSION_TYPES = ['slo', 'session_revoked'] as const

/** Types that always count. */
export const DEFAULT_TYPES = ['slo', 'universal_logout_succeeded'] as const

/** Types that count when asked for (`EVENT_TYPES`). */
export const OPTIONAL_TYPES = [
  'scp',
  'sce',
  'scu',
  'scpn',
  'session_revoked',
  'oidc_backchannel_logout_succeeded',
] as const

/**
 * Types that never count, whatever the configuration says: outsiders can cause them, or their
 * `user_id` is somebody else's, or they end less than a session.
 */
const FORBIDDEN_TYPES = /^(flo|scpr|sapi|srrt|limit_.*|.*pwd_leak)$/

/** Back-channel initiators after which nothing of the user's may stay valid. */
const BACKCHANNEL_INITIATORS = new Set([
  'password-changed',
  'session-revoked',
  'account-deleted',
  'email-identifier-changed',
])

/** Why a type cannot be asked for; `null` if it can. */
export function refuseType(type: string): 'forbidden' | 'unknown' | null {
  if (FORBIDDEN_TYPES.test(type)) return 'forbidden'
  const known: readonly string[] = [...DEFAULT_TYPES, ...OPTIONAL_TYPES]
  return known.includes(type) ? null : 'unknown'
}

/** Whether an entry of this type ends only the session that it names. */
export function endsOneSession(type: string): boolean {
  return (SESSION_TYPES as readonly string[]).includes(type)
}

/** Whether a back-channel logout with this initiator is a logout of everything. */
export function isFullBackchannelLogout(initiator: unknown): boolean {
  return typeof initiator === 'string' && BACKCHANNEL_INITIATORS.has(initiator)
}
