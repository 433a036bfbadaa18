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

/** The expected response of frameworks that cannot send the response of the other frameworks. */
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

const NOW_SECONDS = Math.floor(Date.now() / 1000)

/** The second in which all logouts happen, since the epoch. */
const LOGOUT_SECONDS = NOW_SECONDS - 600

/** The instant of all logouts, in milliseconds since the epoch. */
export const LOGOUT_MS = LOGOUT_SECONDS * 1000 + 500

/** The times of logins a minute before and a minute after the logouts, in seconds since the epoch. */
const [BEFORE, AFTER] = [LOGOUT_SECONDS - 60, LOGOUT_SECONDS + 60]

/**
 * The time of a login 40 days ago, in seconds since the epoch. The memory of the client contains only the logouts of the
 * last 31 days, so the client sends a request.
 */
const LONG_AGO = NOW_SECONDS - 40 * 86_400

/** The claim with the session, which the login Action adds. */
export const SESSION_CLAIM = 'https://last-logout/session_id'
/** The claim with the time of the login, which the login Action adds. */
const LOGIN_CLAIM = 'https://last-logout/authenticated_at'

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

const claimsOf = (sub: string, iat: number, claims: object = {}) => ({ sub, iat, ...claims })
const createCase = (name: string, claims: Case['claims'], expected: Expected): Case => ({
  name,
  claims,
  expected,
})

const LOGIN_CASES: readonly Case[] = [
  createCase('a user who has not logged out', claimsOf('auth0|in', BEFORE), ACCEPTED),
  createCase('a login before the logout', claimsOf('auth0|out', BEFORE), REVOKED),
  createCase('a login in the second of the logout', claimsOf('auth0|out', LOGOUT_SECONDS), REVOKED),
  createCase(
    'a login in the second after the logout',
    claimsOf('auth0|out', LOGOUT_SECONDS + 1),
    ACCEPTED,
  ),
  createCase('a login after the logout', claimsOf('auth0|out', AFTER), ACCEPTED),
  createCase('a login 40 days ago', claimsOf('auth0|in', LONG_AGO), ACCEPTED),
  createCase('a login 40 days ago, before the logout', claimsOf('auth0|out', LONG_AGO), REVOKED),
]

const SESSION_CASES: readonly Case[] = [
  createCase(
    'the logged-out session',
    claimsOf('auth0|sessions', BEFORE, { [SESSION_CLAIM]: 'phone' }),
    REVOKED,
  ),
  createCase(
    'the logged-out session with a later login',
    claimsOf('auth0|sessions', AFTER, { [SESSION_CLAIM]: 'phone' }),
    REVOKED,
  ),
  createCase(
    'another session',
    claimsOf('auth0|sessions', BEFORE, { [SESSION_CLAIM]: 'laptop' }),
    ACCEPTED,
  ),
  createCase('a token without a session', claimsOf('auth0|sessions', BEFORE), REVOKED),
  createCase(
    'a logout of all sessions',
    claimsOf('auth0|out', BEFORE, { [SESSION_CLAIM]: 'laptop' }),
    REVOKED,
  ),
]

/** The time of the login as text. Some gateways convert numbers to text. */
const loginAt = (text: string) => ({ [LOGIN_CLAIM]: text })
const CLAIM_CASES: readonly Case[] = [
  createCase(
    'a login as text, 1 ms before the logout',
    claimsOf('auth0|out', AFTER, loginAt(`${LOGOUT_SECONDS}.499`)),
    REVOKED,
  ),
  createCase(
    'a login as text, at the logout',
    claimsOf('auth0|out', AFTER, loginAt(`${LOGOUT_SECONDS}.500`)),
    REVOKED,
  ),
  createCase(
    'a login as text, 1 ms after the logout',
    claimsOf('auth0|out', BEFORE, loginAt(`${LOGOUT_SECONDS}.501`)),
    ACCEPTED,
  ),
  createCase(
    'a login as a number',
    claimsOf('auth0|out', BEFORE, { [LOGIN_CLAIM]: AFTER }),
    ACCEPTED,
  ),
  createCase('an unreadable login', claimsOf('auth0|in', BEFORE, loginAt('soon')), UNKNOWN),
  createCase(
    'a login in milliseconds',
    claimsOf('auth0|in', BEFORE, { [LOGIN_CLAIM]: BEFORE * 1000 }),
    UNKNOWN,
  ),
  createCase(
    'an unreadable login of a user who has logged out',
    claimsOf('auth0|out', AFTER, loginAt('soon')),
    REVOKED,
  ),
  createCase(
    'an unreadable session',
    claimsOf('auth0|sessions', BEFORE, { [SESSION_CLAIM]: 7 }),
    REVOKED,
  ),
  createCase('a token without sub', { iat: BEFORE }, UNKNOWN),
  createCase('a machine token', claimsOf('orders@clients', BEFORE), ACCEPTED),
]

const ODD_ID_CASES: readonly Case[] = ODD_IDS.flatMap((id) => [
  createCase(`the odd id ${id}, before its logout`, claimsOf(id, BEFORE), REVOKED),
  createCase(`the odd id ${id}, after its logout`, claimsOf(id, AFTER), ACCEPTED),
  // The login is so old that the client sends a request for the user.
  createCase(
    `a user whose id begins with ${id}, and who has not logged out`,
    claimsOf(`${id}~`, LONG_AGO),
    ACCEPTED,
  ),
])

const INVALID_TOKEN_CASES: readonly Case[] = [
  createCase('a request without a token', null, INVALID),
  createCase('an expired token', claimsOf('auth0|in', BEFORE, { exp: NOW_SECONDS - 300 }), INVALID),
  createCase(
    'a token for another API',
    claimsOf('auth0|in', BEFORE, { aud: 'https://other' }),
    INVALID,
  ),
  createCase(
    'a token of another issuer',
    claimsOf('auth0|in', BEFORE, { iss: 'https://other/' }),
    INVALID,
  ),
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
const FORGED_TOKEN_CASES: readonly Case[] = FORGED_HEADERS.map((header) => ({
  ...createCase(`a forged header ${JSON.stringify(header)}`, claimsOf('auth0|in', AFTER), INVALID),
  header,
}))

const DPOP_CASES: readonly Case[] = [
  { ...createCase('a DPoP token', claimsOf('auth0|in', BEFORE), ACCEPTED), scheme: 'DPoP' },
  {
    ...createCase(
      'a DPoP token from before the logout',
      claimsOf('auth0|out', BEFORE),
      REVOKED_DPOP,
    ),
    scheme: 'DPoP',
  },
]

/** The cases of all frameworks. All frameworks send the same responses, except for {@link DIFFERENCES}. */
export const GROUPS: readonly CaseGroup[] = [
  {
    service: 'reachable',
    onUnknown: 'deny',
    cases: [
      ...LOGIN_CASES,
      ...SESSION_CASES,
      ...CLAIM_CASES,
      ...ODD_ID_CASES,
      ...INVALID_TOKEN_CASES,
      ...FORGED_TOKEN_CASES,
      ...DPOP_CASES,
    ],
  },
  {
    service: 'unreachable',
    onUnknown: 'deny',
    cases: [
      createCase('a token of a user', claimsOf('auth0|in', BEFORE), UNKNOWN),
      createCase('a machine token', claimsOf('orders@clients', BEFORE), ACCEPTED),
      createCase('a request without a token', null, INVALID),
    ],
  },
  {
    service: 'unreachable',
    onUnknown: 'allow',
    cases: [
      createCase('a token of a user', claimsOf('auth0|in', BEFORE), ACCEPTED),
      createCase('a machine token', claimsOf('orders@clients', BEFORE), ACCEPTED),
      createCase('a request without a token', null, INVALID),
    ],
  },
  {
    service: 'stale',
    onUnknown: 'deny',
    cases: [
      createCase('a user who has not logged out', claimsOf('auth0|in', BEFORE), UNKNOWN),
      createCase('a login before the logout', claimsOf('auth0|out', BEFORE), REVOKED),
      createCase('a machine token', claimsOf('orders@clients', BEFORE), ACCEPTED),
    ],
  },
  {
    service: 'stale',
    onUnknown: 'allow',
    cases: [
      createCase('a user who has not logged out', claimsOf('auth0|in', BEFORE), ACCEPTED),
      createCase('a login before the logout', claimsOf('auth0|out', BEFORE), REVOKED),
      createCase('an unreadable login', claimsOf('auth0|in', BEFORE, loginAt('soon')), ACCEPTED),
    ],
  },
]

/** The responses that differ because of a framework. The first difference that applies counts. */
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
