import { describe, expect, test } from 'vitest'
import { type LoginFacts, readLogin } from '../../src/rules/login.js'

// `readLogin` determines, from the event of Auth0's post-login trigger, when the user logged in. In an interactive
// login, the user has a live session or enters credentials. Every other transaction is an exchange: an application
// exchanges a refresh token, or another older credential, for new tokens.

const NOW = Date.parse('2026-11-23T12:00:00Z')
const minutesFromNow = (minutes: number) => new Date(NOW + minutes * 60_000).toISOString()
const createFacts = (overrides: Partial<LoginFacts>): LoginFacts => ({
  protocol: 'oauth2-refresh-token',
  refreshTokenCreatedAt: undefined,
  methodTimestamps: [],
  ...overrides,
})

describe('an interactive login', () => {
  test.each([
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
  ])(
    'the time of an interactive login by %s is now, even if the event contains earlier times',
    (protocol) => {
      const facts = createFacts({
        protocol,
        refreshTokenCreatedAt: minutesFromNow(-9),
        methodTimestamps: [minutesFromNow(-5)],
      })
      expect(readLogin(facts, NOW)).toEqual({ interactive: true, loginAt: NOW })
    },
  )
})

describe('an exchange', () => {
  test.each([
    ['oauth2-refresh-token'],
    ['oauth2-token-exchange'],
    ['oauth2-resource-owner-jwt-bearer'],
    ['oauth2-access-token'],
    ['an unknown protocol'],
    ['OIDC-BASIC-PROFILE'],
    [undefined],
    [null],
    [{}],
  ])(
    'in an exchange with the protocol %j, the time of the login is the creation time of the refresh token',
    (protocol) => {
      const facts = createFacts({
        protocol,
        refreshTokenCreatedAt: minutesFromNow(-9),
        methodTimestamps: [minutesFromNow(-5)],
      })
      expect(readLogin(facts, NOW)).toEqual({ interactive: false, loginAt: NOW - 9 * 60_000 })
    },
  )

  test.each([
    [
      'the newest timestamp of the authentication methods',
      { methodTimestamps: [minutesFromNow(-9), minutesFromNow(-5), minutesFromNow(-7)] },
      -5,
    ],
    [
      'the creation time of the refresh token, given as a Date',
      { refreshTokenCreatedAt: new Date(NOW - 60_000) },
      -1,
    ],
    [
      'the timestamp of an authentication method if the creation time of the refresh token is unreadable',
      { refreshTokenCreatedAt: 'x', methodTimestamps: [minutesFromNow(-5)] },
      -5,
    ],
    [
      'the timestamp of an authentication method if the creation time of the refresh token is in the future',
      { refreshTokenCreatedAt: minutesFromNow(1), methodTimestamps: [minutesFromNow(-5)] },
      -5,
    ],
    [
      'the only timestamp of an authentication method that is readable and not in the future',
      { methodTimestamps: [null, 5, {}, 'x', minutesFromNow(1), minutesFromNow(-5)] },
      -5,
    ],
    [
      'the creation time of the refresh token, even if this is now',
      { refreshTokenCreatedAt: minutesFromNow(0) },
      0,
    ],
  ])('in an exchange, the time of the login is %s', (_case, overrides, minutesAfterNow) => {
    const { loginAt } = readLogin(createFacts(overrides), NOW)
    expect(loginAt).toBe(NOW + minutesAfterNow * 60_000)
  })

  test.each([
    [{}],
    [{ methodTimestamps: [minutesFromNow(1)] }],
    [{ refreshTokenCreatedAt: new Date(Number.NaN) }],
    [{ refreshTokenCreatedAt: 1_795_428_000 }],
  ])(
    'in an exchange without a readable time, the time of the login is unknown: %j',
    (overrides) => {
      expect(readLogin(createFacts(overrides), NOW)).toEqual({ interactive: false, loginAt: null })
    },
  )
})
