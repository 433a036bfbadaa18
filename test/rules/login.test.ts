import { describe, expect, test } from 'vitest'
import { type LoginFacts, readLogin } from '../../src/rules/login.js'

const NOW = Date.parse('2026-11-23T12:00:00Z')
const at = (minutes: number) => new Date(NOW + minutes * 60_000).toISOString()
const facts = (given: Partial<LoginFacts>): LoginFacts => ({
  protocol: 'oauth2-refresh-token',
  refreshTokenCreatedAt: undefined,
  methodTimestamps: [],
  ...given,
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
  ])('by %s happens now, whatever the other facts are', (protocol) => {
    const given = facts({ protocol, refreshTokenCreatedAt: at(-9), methodTimestamps: [at(-5)] })
    expect(readLogin(given, NOW)).toEqual({ interactive: true, loginAt: NOW })
  })
})

describe('an exchange', () => {
  test.each([
    ['oauth2-refresh-token'],
    ['oauth2-token-exchange'],
    ['oauth2-resource-owner-jwt-bearer'],
    ['oauth2-access-token'],
    ['a protocol of tomorrow'],
    ['OIDC-BASIC-PROFILE'],
    [undefined],
    [null],
    [{}],
  ])('by %s is as old as the refresh token', (protocol) => {
    const given = facts({ protocol, refreshTokenCreatedAt: at(-9), methodTimestamps: [at(-5)] })
    expect(readLogin(given, NOW)).toEqual({ interactive: false, loginAt: NOW - 9 * 60_000 })
  })

  test.each([
    ['the newest method', { methodTimestamps: [at(-9), at(-5), at(-7)] }, -5],
    ['a Date', { refreshTokenCreatedAt: new Date(NOW - 60_000) }, -1],
    [
      'the methods if the time of the token is unreadable',
      { refreshTokenCreatedAt: 'x', methodTimestamps: [at(-5)] },
      -5,
    ],
    [
      'the methods if the time of the token is in the future',
      { refreshTokenCreatedAt: at(1), methodTimestamps: [at(-5)] },
      -5,
    ],
    ['a method that can be read', { methodTimestamps: [null, 5, {}, 'x', at(1), at(-5)] }, -5],
    ['this very moment', { refreshTokenCreatedAt: at(0) }, 0],
  ])('uses %s', (_what, given, minutes) => {
    expect(readLogin(facts(given), NOW).loginAt).toBe(NOW + minutes * 60_000)
  })

  test.each([
    [{}],
    [{ methodTimestamps: [at(1)] }],
    [{ refreshTokenCreatedAt: new Date(Number.NaN) }],
    [{ refreshTokenCreatedAt: 1_795_428_000 }],
  ])('without a readable time has an unknown login: %j', (given) => {
    expect(readLogin(facts(given), NOW)).toEqual({ interactive: false, loginAt: null })
  })
})
