import { expect, test } from 'vitest'
import { type Decision, type Refusal, toRefusal } from '../../src/client/index.js'
import { openFakeClient } from '../_support/fake-service.js'

const REVOKED_DECISION = { allowed: false, outcome: 'revoked' } as const
const UNKNOWN_DECISION = { allowed: false, outcome: 'unknown' } as const

const challengeOf = (refusal: Refusal | null) => refusal?.headers['WWW-Authenticate']

test('toRefusal refuses a revoked token with 401, a challenge and a body', () => {
  const error_description = 'the token was revoked by a logout'
  expect(toRefusal(REVOKED_DECISION)).toEqual({
    status: 401,
    headers: {
      'WWW-Authenticate': `Bearer error="invalid_token", error_description="${error_description}"`,
    },
    body: { error: 'invalid_token', error_description },
  })
})

test('toRefusal refuses an unknown revocation status with 503, and without a challenge', () => {
  expect(toRefusal(UNKNOWN_DECISION, 'DPoP x')).toEqual({
    status: 503,
    headers: { 'Retry-After': '5' },
    body: {
      error: 'temporarily_unavailable',
      error_description: 'the revocation status of the token is unavailable',
    },
  })
})

test.each(['accepted', 'revoked', 'unknown'] as const)(
  'toRefusal returns null for an allowed request whose outcome is %s',
  (outcome) => {
    expect(toRefusal({ allowed: true, outcome })).toBeNull()
  },
)

test.each<[authorization: string | null | undefined, scheme: string]>([
  [undefined, 'Bearer'],
  [null, 'Bearer'],
  ['', 'Bearer'],
  ['Bearer eyJ', 'Bearer'],
  ['DPoP eyJ', 'DPoP'],
  ['dpop eyJ', 'DPoP'],
  ['DPoP', 'DPoP'],
  ['DPoPs eyJ', 'Bearer'],
  ['Basic DPoP', 'Bearer'],
])(
  'for the Authorization header %j, toRefusal returns a challenge with the scheme %s',
  (authorization, scheme) => {
    expect(challengeOf(toRefusal(REVOKED_DECISION, authorization))).toMatch(
      new RegExp(`^${scheme} error=`),
    )
  },
)

test('toRefusal converts the decisions of a client to responses', async () => {
  const client = await openFakeClient()
  const iat = Math.floor(Date.now() / 1000) - 60
  const decisions: Decision[] = await Promise.all(
    ['auth0|in', 'auth0|out'].map((sub) => client.check({ sub, iat })),
  )
  expect(decisions.map((decision) => toRefusal(decision)?.status ?? null)).toEqual([null, 401])
})
