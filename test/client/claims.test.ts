import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Claims, LastLogoutClient } from '../../src/client/index.js'
import type { LastLogoutClientOptions } from '../../src/client/options.js'
import { openClient } from '../_support/client.js'
import { type ServedLogouts, serveLogouts } from '../_support/served-logouts.js'

const NOW = Math.floor(Date.now() / 1000)
const AUTHENTICATED_AT = 'https://last-logout/authenticated_at'
const SESSION = 'https://last-logout/session_id'

let logouts: ServedLogouts
let clients: LastLogoutClient[] = []
beforeAll(async () => {
  logouts = await serveLogouts()
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
    expect((await client.check(claimsAt(NOW - 60))).reason).toBe('user_logout')
    expect(await client.check(claimsAt(NOW + 60))).toMatchObject({
      outcome: 'accepted',
      reason: 'login_after_logout',
      loginAt: (NOW + 60) * 1000,
    })
    expect(errors).toEqual([])
  })
})

describe('an unreadable login', () => {
  const unreadableLogin = { iat: (NOW + 60) * 1000 }

  test.each(['feed', 'request'] as const)(
    'with lookup %s, the outcome for an unreadable login is unknown if the user has not logged out',
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
    'with lookup %s, a logout and the end of the session revoke a token with an unreadable login',
    async (lookup) => {
      const { client } = await open({ lookup })
      const claims = { sub: 'auth0|out', ...unreadableLogin }
      expect(await client.check(claims)).toMatchObject({ allowed: false, reason: 'login_unknown' })
      expect(await client.check({ ...claims, [SESSION]: 'ended' })).toMatchObject({
        allowed: false,
        reason: 'session_ended',
      })
    },
  )

  test('a check does not fall back to iat if authenticated_at is unreadable', async () => {
    const { client } = await open()
    const claims = { sub: 'auth0|out', [AUTHENTICATED_AT]: 'yesterday', iat: NOW + 60 }
    expect((await client.check(claims)).outcome).toBe('revoked')
  })

  test('a check accepts a machine token with an unreadable login', async () => {
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
      { sid: 'ended', iat: NOW + 60 },
      false,
    ],
    [
      'accepts a token without a usable subject if no known logout revokes it',
      { sid: 'other', iat: NOW + 60 },
      true,
    ],
  ])('a check with onUnknown allow %s', async (_case, claims, allowed) => {
    const { client } = await open()
    expect(client.checkNow({ ...claims, sub: 5 })).toMatchObject({ allowed })
    expect(client.checkNow(claims)).toMatchObject({ allowed })
  })

  test('a check revokes a token without a usable subject if the floor covers it', async () => {
    const service = await serveLogouts()
    await service.store.raiseFloor(NOW * 1000)
    const client = openClient(service.url, { onUnknown: 'allow' })
    clients.push(client)
    await client.ready()
    expect(client.checkNow({ iat: NOW - 60 })).toMatchObject({ allowed: false, reason: 'floor' })
    expect(client.checkNow({ iat: NOW + 60 })).toMatchObject({
      allowed: true,
      reason: 'no_subject',
    })
    await client.close()
    await service.close()
  })
})

describe('onError', () => {
  const readable = { sub: 'auth0|in', iat: NOW }
  test.each<[string, Claims, string, string]>([
    ['iat in milliseconds', { ...readable, iat: NOW * 1000 }, 'iat', 'a number'],
    [
      'iat in milliseconds as a string',
      { ...readable, iat: `${NOW * 1000}` },
      'iat',
      'a string of 13 digits',
    ],
    ['auth_time of null', { ...readable, auth_time: null }, 'auth_time', 'null'],
    [
      'authenticated_at of a word',
      { ...readable, [AUTHENTICATED_AT]: 'now' },
      AUTHENTICATED_AT,
      'a string of 3 characters',
    ],
    ['iat of a Date', { ...readable, iat: new Date() }, 'iat', 'an object'],
    ['no login claim', { sub: 'auth0|in' }, 'iat', 'nothing'],
    ['a session of an array', { ...readable, [SESSION]: ['S'] }, SESSION, 'an array'],
    ['no subject', { iat: NOW }, 'sub', 'nothing'],
    ['a subject of a number', { ...readable, sub: 4711 }, 'sub', 'a number'],
  ])(
    'onError is called once for %s, with the name of the claim and the type of its value',
    async (_case, claims, name, found) => {
      const { client, errors } = await open()
      for (let n = 0; n < 3; n++) {
        await client.check(claims)
        client.checkNow(claims)
      }
      expect(errors).toHaveLength(1)
      expect(errors[0]).toMatchObject({
        name: 'LastLogoutClientError',
        code: 'UNREADABLE_CLAIM',
        message: expect.stringContaining(`claim "${name}" of a token: found ${found}.`),
      })
      expect(String(errors[0])).not.toMatch(new RegExp(`\\b(${NOW}|now|4711)\\b`))
    },
  )

  test('onError is called once for each unreadable claim, and not for readable claims', async () => {
    const { client, errors } = await open()
    await client.check({ ...readable, [SESSION]: 'S', sid: 5, auth_time: undefined })
    await client.check({ sub: 'abc@clients', iat: NOW })
    expect(errors).toEqual([])
    await client.check({ ...readable, sid: 5, auth_time: 'soon' })
    await client.check({ ...readable, iat: true })
    expect(errors.map((error) => /claim "(.*?)"/.exec(String(error))?.[1])).toEqual([
      'auth_time',
      'sid',
      'iat',
    ])
  })

  test('onError is called for a missing claim, and again if this claim is unreadable in a later token', async () => {
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
    fc.integer({ min: NOW - 9, max: NOW + 999 }),
    fc.integer({ min: NOW - 9, max: NOW + 999 }).map(String),
    fc.integer({ min: NOW, max: NOW + 999 }).map((seconds) => String(seconds * 1000)),
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
  const names = ['sub', 'sid', SESSION, AUTHENTICATED_AT, 'auth_time', 'iat']
  const anyClaims = fc.record(Object.fromEntries(names.map((name) => [name, claimValue])), {
    requiredKeys: [],
  })
  const isTime = (value: unknown) =>
    typeof value === 'number' || (typeof value === 'string' && /^\d{10}(\.\d+)?$/.test(value))
  fc.assert(
    fc.property(anyClaims, (claims) => {
      const { outcome, reason } = client.checkNow(claims)
      if (outcome !== 'accepted' || reason === 'machine_token') return
      const loginClaims = [AUTHENTICATED_AT, 'auth_time', 'iat'].map((name) => claims[name])
      const login = loginClaims.find((value) => value !== undefined)
      expect(typeof claims.sub).toBe('string')
      if (claims.sub === 'auth0|out') expect(isTime(login)).toBe(true)
      expect(login === undefined || isTime(login)).toBe(true)
    }),
    { numRuns: 2_000 },
  )
  fc.assert(
    fc.property(fc.anything(), (claims) => {
      expect(client.checkNow(claims as Claims).outcome).not.toBe('accepted')
    }),
  )
})
