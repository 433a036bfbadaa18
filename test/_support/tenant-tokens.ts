import type { JWTHeaderParameters, JWTPayload } from 'jose'
import type { TokenVerifier } from '../../src/rules/verification.js'
import { createKeySet } from '../../src/tokens/key-set.js'
import { createTokenVerifier } from '../../src/tokens/token-verifier.js'
import { createTokenSigner, type KeySetServer, openKeySetServer } from './token-signer.js'

/** The issuer of {@link openTenantTokens}. In tokens, a slash follows it, as in tokens of Auth0. */
export const TOKEN_ISSUER = 'https://tenant.example'

/** The audience of the access tokens of {@link openTenantTokens}. */
export const API_AUDIENCE = 'https://orders.example.com'

/** The id of the application that gets the tokens of {@link openTenantTokens}. */
export const CLIENT_ID = 'SinglePageApp0000000000000000001'

/** Signs and verifies the tokens of a tenant. */
export interface TenantTokens {
  keySet: KeySetServer
  verifier: TokenVerifier
  signAccessToken(claims?: JWTPayload, header?: Partial<JWTHeaderParameters>): Promise<string>
  signIdToken(claims?: JWTPayload, header?: Partial<JWTHeaderParameters>): Promise<string>
  close(): Promise<void>
}

/** Returns the current time in seconds, as in claims of tokens. */
export const nowSeconds = () => Math.floor(Date.now() / 1000)

/** Serves the public key of a tenant, and creates a verifier that verifies the tenant's tokens with this key. */
export async function openTenantTokens(issuer = TOKEN_ISSUER): Promise<TenantTokens> {
  const signer = await createTokenSigner('one')
  const keySet = await openKeySetServer(signer.jwk)
  const verifier = createTokenVerifier({
    issuers: [issuer],
    keySet: createKeySet({ url: keySet.url, log: { warn: () => {} } }),
    apiAudiences: [API_AUDIENCE],
    maxHintAgeMs: 86_400_000,
  })
  const commonClaims = () => ({
    iss: `${issuer}/`,
    sub: 'auth0|123',
    iat: nowSeconds() - 60,
    exp: nowSeconds() + 3600,
  })
  return {
    keySet,
    verifier,
    signAccessToken: (claims, header) =>
      signer.sign(
        { ...commonClaims(), aud: API_AUDIENCE, azp: CLIENT_ID, scope: 'read:orders', ...claims },
        header,
      ),
    signIdToken: (claims, header) =>
      signer.sign({ ...commonClaims(), aud: CLIENT_ID, sid: 'S1', nonce: 'n', ...claims }, header),
    close: keySet.close,
  }
}
