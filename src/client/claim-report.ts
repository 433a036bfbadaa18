import {
  type ClaimedToken,
  isLoginUnreadable,
  isSessionUnreadable,
  type SubjectlessToken,
} from '../rules/token.js'
import { LastLogoutClientError } from './errors.js'

/** Reports claims that cannot be read, each of them once. */
export type ReportClaims = (
  token: ClaimedToken | SubjectlessToken,
  claims: Record<string, unknown>,
) => void

const WITHOUT_SUBJECT =
  'Expected a string of 1 to 800 characters; such a token is never accepted, and revoked only by the end of its session or by the floor.'
const WITHOUT_LOGIN =
  'Expected a login claim; a token of a user without one is accepted until the first logout that covers it, and revoked from then on.'
const UNREADABLE_LOGIN =
  'Expected a NumericDate in seconds (RFC 7519 section 2), as a number or as a string of ten digits; a token of a user with such a claim is never accepted.'
const UNREADABLE_SESSION =
  'Expected a string of 1 to 800 characters; such a token counts as naming no session, so that any logout of its user revokes it.'
const ADVICE = 'Pass the verified claims on unchanged (see getClaims of the bindings).'

/**
 * Calls `onError` with `UNREADABLE_CLAIM` for the first token whose `sub`, login or session claim
 * cannot be read, and for the first one that has no `sub` or no login claim: once for each, not for
 * each request. The message names the claim and the type of what was found, never its value.
 */
export function createClaimReport(onError: ((error: unknown) => void) | undefined): ReportClaims {
  const reported = new Set<string>()

  function report(claim: string, value: unknown, expected: string): void {
    const finding = value === undefined ? `${claim} is missing` : `${claim} is unreadable`
    if (reported.has(finding)) return
    reported.add(finding)
    const problem = `cannot read the claim "${claim}" of a token: found ${describeType(value)}.`
    onError?.(new LastLogoutClientError('UNREADABLE_CLAIM', `${problem} ${expected} ${ADVICE}`))
  }

  return (token, claims) => {
    if (token.subject === null) report('sub', claims.sub, WITHOUT_SUBJECT)
    if (token.loginClaim === null) report('iat', undefined, WITHOUT_LOGIN)
    else if (isLoginUnreadable(token))
      report(token.loginClaim, claims[token.loginClaim], UNREADABLE_LOGIN)
    if (token.sessionClaim !== null && isSessionUnreadable(token))
      report(token.sessionClaim, claims[token.sessionClaim], UNREADABLE_SESSION)
  }
}

/** The type of a value and the shape of a string; nothing of the value itself. */
function describeType(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'object') return 'an object'
  if (typeof value !== 'string') return `a ${typeof value}`
  const unit = /^\d+$/.test(value) ? 'digits' : 'characters'
  return `a string of ${value.length} ${unit}`
}
