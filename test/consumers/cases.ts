import { ODD_IDS } from '../_support/odd-ids.js'
import { REVOKED_CHALLENGE } from '../_support/revoked.js'

/** The state of the service to which the client of a case connects. */
export type ServiceState =
  | 'reachable'
  /** The service does not listen. */
  | 'unreachable'
  /** The service has not read the log for ten minutes. */
  | 'stale'

/** An expected response. `null`: the header is absent. `undefined`: the header can have any value. */
export interface Expected {
  status: number
  challenge?: string | null
  retryAfter?: string | null
}

/** A request with a token of these claims, and the response to it. */
export interface Case {
  name: string
  /** `null`: the request has no token. */
  claims: Record<string, unknown> | null
  /** The scheme of the request. Default `Bearer`. */
  scheme?: 'Bearer' | 'DPoP'
  /** Replaces the header of the token after it was signed. */
  header?: object
  expected: Expected
}

/** Cases for one client. */
export interface CaseGroup {
  service: ServiceState
  onUnknown: 'deny' | 'allow'
  cases: readonly Case[]
}

/** Another expected response, because a framework cannot send that of the other frameworks. */
interface Difference {
  /** The folders of the frameworks in `examples`. */
  frameworks: readonly string[]
  appliesTo(testCase: Case): boolean
  expected: Expected
  reason: string
}

/** A logout that is stored before the requests of the cases are sent. */
export interface LoggedOut {
  userId: string
  /** Default: the logout ends all sessions of the user. */
  sessionId?: string
}

const NOW = Math.floor(Date.now() / 1000)

/** The second in which all logouts happened. */
const LOGOUT = NOW - 600

/** The instant of all logouts, in milliseconds since the epoch. */
export const LOGOUT_MS = LOGOUT * 1000 + 500

/** Seconds of logins a minute before and after the logouts. */
const [BEFORE, AFTER] = [LOGOUT - 60, LOGOUT + 60]

/** The second of a login that is so old that a client sends a request. */
const LONG_AGO = NOW - 40 * 86_400

/** The claim with the session, which the login Action adds. */
export const SESSION = 'https://last-logout/session_id'
/** The claim with the time of the login, which the login Action adds. */
const LOGIN = 'https://last-logout/authenticated_at'

/** The logouts that the reachable service and the stale service know. */
export const LOGGED_OUT: readonly LoggedOut[] = [
  { userId: 'auth0|out' },
  { userId: 'auth0|sessions', sessionId: 'phone' },
  ...ODD_IDS.map((userId) => ({ userId })),
]

/** The response to an accepted token. */
export const ACCEPTED: Expected = { status: 200, challenge: null, retryAfter: null }
/** The response to a revoked token. */
export const REVOKED: Expected = {
  status: 401,
  challenge: REVOKED_CHALLENGE,
  retryAfter: null,
}
const REVOKED_DPOP: Expected = {
  ...REVOKED,
  challenge: REVOKED_CHALLENGE.replace('Bearer', 'DPoP'),
}
/** The response to a token whose revocation status is unknown, with `onUnknown: 'deny'`. */
export const UNKNOWN: Expected = { status: 503, challenge: null, retryAfter: '5' }
/** The response of the JWT library to an invalid token. Each library sends its own challenge. */
const INVALID: Expected = { status: 401, retryAfter: null }

const user = (sub: string, iat: number, claims: object = {}) => ({ sub, iat, ...claims })
const row = (name: string, claims: Case['claims'], expected: Expected): Case => ({
  name,
  claims,
  expected,
})

const LOGINS: readonly Case[] = [
  row('a user who has not logged out', user('auth0|in', BEFORE), ACCEPTED),
  row('a login before the logout', user('auth0|out', BEFORE), REVOKED),
  row('a login in the second of the logout', user('auth0|out', LOGOUT), REVOKED),
  row('a login in the second after the logout', user('auth0|out', LOGOUT + 1), ACCEPTED),
  row('a login after the logout', user('auth0|out', AFTER), ACCEPTED),
  row('a login 40 days ago', user('auth0|in', LONG_AGO), ACCEPTED),
  row('a login 40 days ago, before the logout', user('auth0|out', LONG_AGO), REVOKED),
]

const SESSIONS: readonly Case[] = [
  row('the logged-out session', user('auth0|sessions', BEFORE, { [SESSION]: 'phone' }), REVOKED),
  row(
    'the logged-out session with a later login',
    user('auth0|sessions', AFTER, { [SESSION]: 'phone' }),
    REVOKED,
  ),
  row('another session', user('auth0|sessions', BEFORE, { [SESSION]: 'laptop' }), ACCEPTED),
  row('no session', user('auth0|sessions', BEFORE), REVOKED),
  row('a logout of all sessions', user('auth0|out', BEFORE, { [SESSION]: 'laptop' }), REVOKED),
]

/** The time of the login as text. Some gateways convert numbers to text. */
const loginAt = (text: string) => ({ [LOGIN]: text })
const CLAIMS: readonly Case[] = [
  row(
    'a login as text, 1 ms before the logout',
    user('auth0|out', AFTER, loginAt(`${LOGOUT}.499`)),
    REVOKED,
  ),
  row(
    'a login as text, at the logout',
    user('auth0|out', AFTER, loginAt(`${LOGOUT}.500`)),
    REVOKED,
  ),
  row(
    'a login as text, 1 ms after the logout',
    user('auth0|out', BEFORE, loginAt(`${LOGOUT}.501`)),
    ACCEPTED,
  ),
  row('a login as a number', user('auth0|out', BEFORE, { [LOGIN]: AFTER }), ACCEPTED),
  row('an unreadable login', user('auth0|in', BEFORE, loginAt('soon')), UNKNOWN),
  row('a login in milliseconds', user('auth0|in', BEFORE, { [LOGIN]: BEFORE * 1000 }), UNKNOWN),
  row('an unreadable login before a logout', user('auth0|out', AFTER, loginAt('soon')), REVOKED),
  row('an unreadable session', user('auth0|sessions', BEFORE, { [SESSION]: 7 }), REVOKED),
  row('no sub', { iat: BEFORE }, UNKNOWN),
  row('a machine token', user('orders@clients', BEFORE), ACCEPTED),
]

const ODD: readonly Case[] = ODD_IDS.flatMap((id) => [
  row(`the odd id ${id}, before its logout`, user(id, BEFORE), REVOKED),
  row(`the odd id ${id}, after its logout`, user(id, AFTER), ACCEPTED),
  // The login is so old that the client sends a request for the user.
  row(`an odd id beside ${id}`, user(`${id}~`, LONG_AGO), ACCEPTED),
])

const INVALID_TOKENS: readonly Case[] = [
  row('no token', null, INVALID),
  row('an expired token', user('auth0|in', BEFORE, { exp: NOW - 300 }), INVALID),
  row('a token for another API', user('auth0|in', BEFORE, { aud: 'https://other' }), INVALID),
  row('a token of another issuer', user('auth0|in', BEFORE, { iss: 'https://other/' }), INVALID),
]

/** Headers of forged tokens. The JWT library refuses each of them for another reason. */
const FORGED_HEADERS: readonly object[] = [
  { alg: 'none' },
  { alg: 'HS256', kid: 'one' },
  { alg: 'RS256', kid: 'unknown' },
  { alg: 'RS256' },
  { alg: 'RS256', kid: 'one', crit: ['x'], x: 1 },
  { alg: 'RS256', kid: 'one', forged: true },
]
const FORGED_TOKENS: readonly Case[] = FORGED_HEADERS.map((header) => ({
  ...row(`a forged header ${JSON.stringify(header)}`, user('auth0|in', AFTER), INVALID),
  header,
}))

const DPOP: readonly Case[] = [
  { ...row('DPoP', user('auth0|in', BEFORE), ACCEPTED), scheme: 'DPoP' },
  { ...row('DPoP, before the logout', user('auth0|out', BEFORE), REVOKED_DPOP), scheme: 'DPoP' },
]

/** The cases of all frameworks. All frameworks send the same responses, except for {@link DIFFERENCES}. */
export const GROUPS: readonly CaseGroup[] = [
  {
    service: 'reachable',
    onUnknown: 'deny',
    cases: [
      ...LOGINS,
      ...SESSIONS,
      ...CLAIMS,
      ...ODD,
      ...INVALID_TOKENS,
      ...FORGED_TOKENS,
      ...DPOP,
    ],
  },
  {
    service: 'unreachable',
    onUnknown: 'deny',
    cases: [
      row('a user', user('auth0|in', BEFORE), UNKNOWN),
      row('a machine token', user('orders@clients', BEFORE), ACCEPTED),
      row('no token', null, INVALID),
    ],
  },
  {
    service: 'unreachable',
    onUnknown: 'allow',
    cases: [
      row('a user', user('auth0|in', BEFORE), ACCEPTED),
      row('a machine token', user('orders@clients', BEFORE), ACCEPTED),
      row('no token', null, INVALID),
    ],
  },
  {
    service: 'stale',
    onUnknown: 'deny',
    cases: [
      row('a user who has not logged out', user('auth0|in', BEFORE), UNKNOWN),
      row('a login before the logout', user('auth0|out', BEFORE), REVOKED),
      row('a machine token', user('orders@clients', BEFORE), ACCEPTED),
    ],
  },
  {
    service: 'stale',
    onUnknown: 'allow',
    cases: [
      row('a user who has not logged out', user('auth0|in', BEFORE), ACCEPTED),
      row('a login before the logout', user('auth0|out', BEFORE), REVOKED),
      row('an unreadable login', user('auth0|in', BEFORE, loginAt('soon')), ACCEPTED),
    ],
  },
]

/** The responses that differ because of a framework. The first that applies counts. */
const DIFFERENCES: readonly Difference[] = [
  {
    frameworks: [
      'fastify',
      'koa',
      'hono',
      'nestjs',
      'next',
      'lambda-authorizer',
      'trpc',
      'request-response',
    ],
    appliesTo: ({ scheme }) => scheme === 'DPoP',
    expected: INVALID,
    reason: 'the JWT library of the example does not support DPoP',
  },
  {
    frameworks: ['lambda-authorizer'],
    appliesTo: ({ expected }) => expected.status === 401,
    expected: { status: 401, challenge: null, retryAfter: null },
    reason: 'API Gateway chooses the headers of its response to a refused request',
  },
  {
    frameworks: ['lambda-authorizer'],
    appliesTo: ({ expected }) => expected.status === 503,
    expected: { status: 500, challenge: null, retryAfter: null },
    reason: 'API Gateway responds with 500 if an authorizer neither allows nor denies a request',
  },
]

/** Returns the response of a framework to a case. */
export function expectedOf(testCase: Case, framework: string): Expected {
  const difference = DIFFERENCES.find(
    ({ frameworks, appliesTo }) => frameworks.includes(framework) && appliesTo(testCase),
  )
  return difference?.expected ?? testCase.expected
}
