import {
  isLoginUnreadable,
  isSessionUnreadable,
  type SubjectlessToken,
  type TokenWithClaimNames,
} from '../rules/token.js'
import { LastLogoutClientError } from './errors.js'

/** Reports the missing and the unreadable claims of a token. */
export type ReportClaims = (
  token: TokenWithClaimNames | SubjectlessToken,
  claims: Record<string, unknown>,
) => void

const EXPECTED_SUBJECT =
  'Expected a string of 1 to 800 characters. A token without a usable subject is revoked if its session has ended, or if the floor (a logout of all users) covers it. Otherwise its outcome is unknown, and onUnknown decides.'
const EXPECTED_LOGIN_CLAIM =
  "Expected a claim with the time of the login, such as iat. A user's token without such a claim is accepted until the first logout that covers it, then revoked."
const EXPECTED_NUMERIC_DATE =
  "Expected a NumericDate in seconds (RFC 7519 section 2), as a number or as a string of ten digits. A user's token with an unreadable login claim is revoked if a logout covers it. Otherwise its outcome is unknown, and onUnknown decides."
const EXPECTED_SESSION =
  'Expected a string of 1 to 800 characters. A token with an unreadable session claim counts as a token without a session: any logout of its user revokes it.'
const ADVICE = 'Pass the verified claims without changes (see the option getClaims of lastLogout).'

/**
 * Creates a function that calls `onError` with `UNREADABLE_CLAIM`. Each problem of a claim is reported only once. The
 * message contains the name of the claim and the type of its value, but never the value.
 */
export function createClaimReport(onError: ((error: unknown) => void) | undefined): ReportClaims {
  const reportedProblems = new Set<string>()

  function report(claim: string, value: unknown, expected: string): void {
    const problem = value === undefined ? `${claim} is missing` : `${claim} is unreadable`
    if (reportedProblems.has(problem)) return
    reportedProblems.add(problem)
    const summary = `cannot read the claim "${claim}" of a token: found ${describeType(value)}.`
    onError?.(new LastLogoutClientError('UNREADABLE_CLAIM', `${summary} ${expected} ${ADVICE}`))
  }

  return (token, claims) => {
    if (token.subject === null) report('sub', claims.sub, EXPECTED_SUBJECT)
    if (token.loginClaim === null) report('iat', undefined, EXPECTED_LOGIN_CLAIM)
    else if (isLoginUnreadable(token))
      report(token.loginClaim, claims[token.loginClaim], EXPECTED_NUMERIC_DATE)
    if (token.sessionClaim !== null && isSessionUnreadable(token))
      report(token.sessionClaim, claims[token.sessionClaim], EXPECTED_SESSION)
  }
}

/** Describes the type of a value, and the length of a string. */
function describeType(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'object') return 'an object'
  if (typeof value !== 'string') return `a ${typeof value}`
  const unit = /^\d+$/.test(value) ? 'digits' : 'characters'
  return `a string of ${value.length} ${unit}`
}
