import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Claims, LastLogoutClient } from '../../src/client/index.js'
import type { LastLogoutClientOptions } from '../../src/client/options.js'
import { openClient } from '../_support/client.js'
import { type ServedLogouts, serveLogouts } from '../_support/served-logouts.js'

const NOW_SECONDS = Math.floor(Date.now() / 1000)
const AUTHENTICATED_AT_CLAIM = 'https://last-logout/authenticated_at'
const SESSION_CLAIM = 'https://last-logout/session_id'

let logouts: ServedLogouts
let clients: LastLogoutClient[] = []
beforeAll(async () => {
  logouts = await serveLogouts()
  // The user `auth0|out` has logged out of the session `ended`.
  await logouts.logOut('auth0|out', 'ended')
})
afterEach(async () => {
  await Promise.all(clients.map((client) => client.close()))
  clients = []
})
afterAll(() => logouts.close())

/** Opens a client and waits until it has loaded all logouts. Collects the errors of the client. */
async function open(options: Partial<LastLogoutClientOptions> = {}) {
  const errors: unknown[] = []
  const onError = (error: unknown) => void errors.push(error)
  const client = openClient(logouts.url, { onUnknown: 'allow', onError, ...options })
  clients.push(client)
  await client.ready()
  return { client, errors }
}

describe('login claims that a gateway has converted to strings', () => {
  test('a check reads an iat that is a string', async () => {
    const { client, errors } = await open()
    const claimsAt = (seconds: number) => ({ sub: 'auth0|out', iat: String(seconds) })
    expect((await client.check(claimsAt(NOW_SECONDS - 60))).reason).toBe('user_logout')
    expect(await client.check(claimsAt(NOW_SECONDS + 60))).toMatchObject({
      outcome: 'accepted',
      reason: 'login_after_logout',
      loginAt: (NOW_SECONDS + 60) * 1000,
    })
    expect(errors).toEqual([])
  })
})

describe('an unreadable login', () => {
  /** A login claim in milliseconds instead of seconds. */
  const unreadableLogin = { iat: (NOW_SECONDS + 60) * 1000 }

  test.each(['feed', 'request'] as const)(
    "with lookup: '%s', a check returns unknown for an unreadable login of a user who has not logged out",
    async (lookup) => {
      const { client } = await open({ lookup, onUnknown: 'deny' })
      expect(await client.check({ sub: 'auth0|in', ...unreadableLogin })).toMatchObject({
        allowed: false,
        outcome: 'unknown',
        reason: 'login_unreadable',
      })
    },
  )

  test.each(['feed', 'request'] as const)(
    "with lookup: '%s', a logout or the end of the session revokes a token with an unreadable login",
    async (lookup) => {
      const { client } = await open({ lookup })
      const claims = { sub: 'auth0|out', ...unreadableLogin }
      expect(await client.check(claims)).toMatchObject({ allowed: false, reason: 'login_unknown' })
      expect(await client.check({ ...claims, [SESSION_CLAIM]: 'ended' })).toMatchObject({
        allowed: false,
        reason: 'session_ended',
      })
    },
  )

  test('a check does not fall back to iat if authenticated_at is unreadable', async () => {
    const { client } = await open()
    const claims = {
      sub: 'auth0|out',
      [AUTHENTICATED_AT_CLAIM]: 'yesterday',
      iat: NOW_SECONDS + 60,
    }
    expect((await client.check(claims)).outcome).toBe('revoked')
  })

  test('a check accepts a machine token, whose subject ends in @clients, even if the login is unreadable', async () => {
    const { client } = await open({ onUnknown: 'deny' })
    expect(await client.check({ sub: 'abc@clients', ...unreadableLogin })).toMatchObject({
      allowed: true,
      reason: 'machine_token',
    })
  })
})

describe('a token without a usable subject', () => {
  test.each([
    [
      'refuses a token without a usable subject if its session has ended',
      { sid: 'ended', iat: NOW_SECONDS + 60 },
      false,
    ],
    [
      'accepts a token without a usable subject if no known logout revokes it',
      { sid: 'other', iat: NOW_SECONDS + 60 },
      true,
    ],
  ])("a check with onUnknown: 'allow' %s", async (_case, claims, allowed) => {
    const { client } = await open()
    expect(client.checkNow({ ...claims, sub: 5 })).toMatchObject({ allowed })
    expect(client.checkNow(claims)).toMatchObject({ allowed })
  })

  test('a check revokes a token without a usable subject if the floor covers it', async () => {
    const service = await serveLogouts()
    // The floor is the instant that ends the tokens of all users whose login is not after it.
    await service.store.raiseFloor(NOW_SECONDS * 1000)
    const client = openClient(service.url, { onUnknown: 'allow' })
    clients.push(client)
    await client.ready()
    expect(client.checkNow({ iat: NOW_SECONDS - 60 })).toMatchObject({
      allowed: false,
      reason: 'floor',
    })
    expect(client.checkNow({ iat: NOW_SECONDS + 60 })).toMatchObject({
      allowed: true,
      reason: 'no_subject',
    })
    await client.close()
    await service.close()
  })
})

describe('onError', () => {
  const readable = { sub: 'auth0|in', iat: NOW_SECONDS }
  test.each<[string, Claims, string, string]>([
    ['an iat in milliseconds', { ...readable, iat: NOW_SECONDS * 1000 }, 'iat', 'a number'],
    [
      'an iat in milliseconds that is a string',
      { ...readable, iat: `${NOW_SECONDS * 1000}` },
      'iat',
      'a string of 13 digits',
    ],
    ['an auth_time that is null', { ...readable, auth_time: null }, 'auth_time', 'null'],
    [
      'an authenticated_at that is a word',
      { ...readable, [AUTHENTICATED_AT_CLAIM]: 'now' },
      AUTHENTICATED_AT_CLAIM,
      'a string of 3 characters',
    ],
    ['an iat that is a Date', { ...readable, iat: new Date() }, 'iat', 'an object'],
    ['claims without a login claim', { sub: 'auth0|in' }, 'iat', 'nothing'],
    [
      'a session id that is an array',
      { ...readable, [SESSION_CLAIM]: ['S'] },
      SESSION_CLAIM,
      'an array',
    ],
    ['claims without a subject', { iat: NOW_SECONDS }, 'sub', 'nothing'],
    ['a subject that is a number', { ...readable, sub: 4711 }, 'sub', 'a number'],
  ])(
    'onError is called once for %s, and the error names the claim and the type of its value',
    async (_case, claims, claimName, valueType) => {
      const { client, errors } = await open()
      for (let n = 0; n < 3; n++) {
        await client.check(claims)
        client.checkNow(claims)
      }
      expect(errors).toHaveLength(1)
      expect(errors[0]).toMatchObject({
        name: 'LastLogoutClientError',
        code: 'UNREADABLE_CLAIM',
        message: expect.stringContaining(`claim "${claimName}" of a token: found ${valueType}.`),
      })
      // The error does not contain the value of the claim.
      expect(String(errors[0])).not.toMatch(new RegExp(`\\b(${NOW_SECONDS}|now|4711)\\b`))
    },
  )

  test('onError is called once for each unreadable claim, and not for readable claims', async () => {
    const { client, errors } = await open()
    await client.check({ ...readable, [SESSION_CLAIM]: 'S', sid: 5, auth_time: undefined })
    await client.check({ sub: 'abc@clients', iat: NOW_SECONDS })
    expect(errors).toEqual([])
    await client.check({ ...readable, sid: 5, auth_time: 'soon' })
    await client.check({ ...readable, iat: true })
    expect(errors.map((error) => /claim "(.*?)"/.exec(String(error))?.[1])).toEqual([
      'auth_time',
      'sid',
      'iat',
    ])
  })

  test('onError is called for a missing claim, and again if the same claim is unreadable in a later token', async () => {
    const { client, errors } = await open()
    for (const claims of [{ sub: 'auth0|in' }, { sub: 'auth0|in', iat: 'soon' }, { sub: 5 }, {}]) {
      await client.check(claims)
      await client.check(claims)
    }
    expect(
      errors.map((error) => /claim "(.*?)".* found (.*?)\./.exec(String(error))?.slice(1)),
    ).toEqual([
      ['iat', 'nothing'],
      ['iat', 'a string of 4 characters'],
      ['sub', 'a number'],
      ['sub', 'nothing'],
    ])
  })

  test('onError is not called for the claims of another issuer', async () => {
    const { client, errors } = await open({ issuer: 'https://tenant.example/' })
    const claims = { ...readable, iat: 'soon', iss: 'https://other.example/' }
    expect(client.checkNow(claims).reason).toBe('other_issuer')
    expect(errors).toEqual([])
  })
})

test('checkNow never throws, and never accepts unreadable claims', async () => {
  const { client } = await open()
  const claimValue = fc.oneof(
    fc.integer({ min: NOW_SECONDS - 9, max: NOW_SECONDS + 999 }),
    fc.integer({ min: NOW_SECONDS - 9, max: NOW_SECONDS + 999 }).map(String),
    fc
      .integer({ min: NOW_SECONDS, max: NOW_SECONDS + 999 })
      .map((seconds) => String(seconds * 1000)),
    fc.constantFrom<unknown>(
      null,
      undefined,
      '',
      'ended',
      'auth0|out',
      'auth0|in',
      'a@clients',
      5n,
    ),
    fc.anything(),
  )
  const claimNames = ['sub', 'sid', SESSION_CLAIM, AUTHENTICATED_AT_CLAIM, 'auth_time', 'iat']
  const anyClaims = fc.record(Object.fromEntries(claimNames.map((name) => [name, claimValue])), {
    requiredKeys: [],
  })
  const isSecondsSinceEpoch = (value: unknown) =>
    typeof value === 'number' || (typeof value === 'string' && /^\d{10}(\.\d+)?$/.test(value))
  fc.assert(
    fc.property(anyClaims, (claims) => {
      const { outcome, reason } = client.checkNow(claims)
      if (outcome !== 'accepted' || reason === 'machine_token') return
      // An accepted token has a subject, and no unreadable login. If the user has logged out, it also has a login.
      const loginClaims = [AUTHENTICATED_AT_CLAIM, 'auth_time', 'iat'].map((name) => claims[name])
      const login = loginClaims.find((value) => value !== undefined)
      expect(typeof claims.sub).toBe('string')
      if (claims.sub === 'auth0|out') expect(isSecondsSinceEpoch(login)).toBe(true)
      expect(login === undefined || isSecondsSinceEpoch(login)).toBe(true)
    }),
    { numRuns: 2_000 },
  )
  fc.assert(
    fc.property(fc.anything(), (claims) => {
      expect(client.checkNow(claims as Claims).outcome).not.toBe('accepted')
    }),
  )
})
