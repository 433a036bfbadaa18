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

const PASS_ON = 'pass the verified claims on as they stand in the token'

/**
 * Calls `onError` with `UNREADABLE_CLAIM` for the first token whose `sub`, login or session claim
 * cannot be read, and for the first one that has no `sub` or no login claim: once for each claim, not
 * for each request. The message names the claim and the type of what was found, never its value.
 */
export function createClaimReport(onError: ((error: unknown) => void) | undefined): ReportClaims {
  const reported = new Set<string>()

  function report(claim: string, value: unknown, consequence: string): void {
    if (reported.has(claim)) return
    reported.add(claim)
    const found = `found ${describeType(value)} in the claim "${claim}"`
    onError?.(new LastLogoutClientError('UNREADABLE_CLAIM', `${found}: ${consequence}; ${PASS_ON}`))
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

const WITHOUT_SUBJECT =
  'it must be a string of 1 to 800 characters; such a token is never accepted, and refused only by the end of its session or by the floor'
const WITHOUT_LOGIN =
  'nothing says when the login of the token happened; such a token is accepted until the first logout of its user, and refused from then on'
const UNREADABLE_LOGIN =
  'it must be a NumericDate in seconds (RFC 7519 section 2), as a number or as a string of ten digits; such a token of a user is never accepted'
const UNREADABLE_SESSION =
  'it must be a string of 1 to 800 characters; such a token counts as naming no session, so that any logout of its user ends it'

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
