import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { VerifiedClaims } from '../../src/rules/verification.js'
import { createKeySet, KEY_SET_LIMITS } from '../../src/tokens/key-set.js'
import { createTokenVerifier } from '../../src/tokens/token-verifier.js'
import { createVerifiedTokens } from '../../src/tokens/verified-tokens.js'
import {
  API_AUDIENCE,
  CLIENT_ID,
  nowSeconds,
  openTenantTokens,
  type TenantTokens,
  TOKEN_ISSUER,
} from '../_support/tenant-tokens.js'
import { createTokenSigner } from '../_support/token-signer.js'

/** Returns claims with this `exp`, in seconds since the epoch. */
const claimsExpiringAt = (exp: number): VerifiedClaims => ({
  iss: TOKEN_ISSUER,
  sub: 'auth0|123',
  iat: exp - 60,
  exp,
})

/** The cache of tokens that were verified. The generation is the number of the fetch of the key set. */
describe('verified tokens', () => {
  test('verified tokens are found only for their audience and the generation of their keys', () => {
    const tokens = createVerifiedTokens()
    const claims = claimsExpiringAt(nowSeconds() + 60)
    tokens.add('token', 'audience', 1, claims)
    expect(tokens.find('token', 'audience', 1)).toBe(claims)
    expect(tokens.find('token', 'another', 1)).toBeUndefined()
    expect(tokens.find('token', 'audience', 2)).toBeUndefined()
    expect(tokens.find('token2', 'audience', 1)).toBeUndefined()
  })

  test('verified tokens are not found after they have expired', () => {
    const tokens = createVerifiedTokens()
    tokens.add('token', 'audience', 1, claimsExpiringAt(nowSeconds()))
    expect(tokens.find('token', 'audience', 1)).toBeUndefined()
  })

  test('the cache keeps the last 5,000 tokens, and no token of more than 8,192 characters', () => {
    const tokens = createVerifiedTokens()
    const claims = claimsExpiringAt(nowSeconds() + 60)
    for (let n = 0; n <= 5_000; n++) tokens.add(`token ${n}`, 'audience', 1, claims)
    expect(tokens.find('token 0', 'audience', 1)).toBeUndefined()
    expect(tokens.find('token 1', 'audience', 1)).toBe(claims)
    const longToken = 'x'.repeat(8_193)
    tokens.add(longToken, 'audience', 1, claims)
    expect(tokens.find(longToken, 'audience', 1)).toBeUndefined()
  })
})

describe('a verifier', () => {
  let tenantTokens: TenantTokens
  beforeAll(async () => {
    tenantTokens = await openTenantTokens()
  })
  afterAll(() => tenantTokens.close())

  const openVerifier = (limits: Partial<typeof KEY_SET_LIMITS>) =>
    createTokenVerifier({
      issuers: [TOKEN_ISSUER],
      keySet: createKeySet({
        url: tenantTokens.keySet.url,
        log: { warn: () => {} },
        limits: { ...KEY_SET_LIMITS, ...limits },
      }),
      apiAudiences: [API_AUDIENCE],
      maxHintAgeMs: 0,
    })

  test('a verifier rejects a token that it accepted before, if its key was removed from the key set', async () => {
    const signer = await createTokenSigner('removed')
    tenantTokens.keySet.keys.push(signer.jwk)
    const verifier = openVerifier({ refreshMs: 0, cooldownMs: 0 })
    const claims = { ...claimsExpiringAt(nowSeconds() + 60), aud: API_AUDIENCE, azp: CLIENT_ID }
    const token = await signer.sign(claims)
    const outcomeOf = async () => (await verifier.verifyAccessToken(token, API_AUDIENCE)).outcome
    for (let n = 0; n < 3; n++) expect(await outcomeOf()).toBe('valid')
    tenantTokens.keySet.keys.pop()
    await expect.poll(outcomeOf).toBe('invalid')
  })

  test('a verifier returns unknown for a token that it accepted before, if the keys are older than keepMs', async () => {
    const token = await tenantTokens.signAccessToken()
    const verifier = openVerifier({ keepMs: 50, cooldownMs: 60_000 })
    const outcomeOf = async () => (await verifier.verifyAccessToken(token, API_AUDIENCE)).outcome
    expect(await outcomeOf()).toBe('valid')
    await expect.poll(outcomeOf).toBe('unknown')
  })
})
