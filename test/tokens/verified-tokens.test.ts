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

const claimsWith = (exp: number): VerifiedClaims => ({
  iss: TOKEN_ISSUER,
  sub: 'auth0|123',
  iat: exp - 60,
  exp,
})

describe('verified tokens', () => {
  test('are found only for their audience and the generation of their keys', () => {
    const tokens = createVerifiedTokens()
    const claims = claimsWith(nowSeconds() + 60)
    tokens.add('token', 'audience', 1, claims)
    expect(tokens.find('token', 'audience', 1)).toBe(claims)
    expect(tokens.find('token', 'another', 1)).toBeUndefined()
    expect(tokens.find('token', 'audience', 2)).toBeUndefined()
    expect(tokens.find('token2', 'audience', 1)).toBeUndefined()
  })

  test('are not found after they have expired', () => {
    const tokens = createVerifiedTokens()
    tokens.add('token', 'audience', 1, claimsWith(nowSeconds()))
    expect(tokens.find('token', 'audience', 1)).toBeUndefined()
  })

  test('have a maximum number and a maximum size', () => {
    const tokens = createVerifiedTokens()
    const claims = claimsWith(nowSeconds() + 60)
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

  const open = (limits: Partial<typeof KEY_SET_LIMITS>) =>
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

  test('rejects an accepted token as soon as the key set no longer contains its key', async () => {
    const signer = await createTokenSigner('removed')
    tenantTokens.keySet.keys.push(signer.jwk)
    const verifier = open({ refreshMs: 0, cooldownMs: 0 })
    const claims = { ...claimsWith(nowSeconds() + 60), aud: API_AUDIENCE, azp: CLIENT_ID }
    const token = await signer.sign(claims)
    const outcomeOf = async () => (await verifier.verifyAccessToken(token, API_AUDIENCE)).outcome
    for (let n = 0; n < 3; n++) expect(await outcomeOf()).toBe('valid')
    tenantTokens.keySet.keys.pop()
    await expect.poll(outcomeOf).toBe('invalid')
  })

  test('returns unknown for an accepted token when the keys are too old', async () => {
    const token = await tenantTokens.signAccessToken()
    const verifier = open({ keepMs: 50, cooldownMs: 60_000 })
    const outcomeOf = async () => (await verifier.verifyAccessToken(token, API_AUDIENCE)).outcome
    expect(await outcomeOf()).toBe('valid')
    await expect.poll(outcomeOf).toBe('unknown')
  })
})
