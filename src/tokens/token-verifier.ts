import { errors, type JWTVerifyOptions, jwtVerify } from 'jose'
import { hasCode } from '../errors.js'
import { isAccessToken, isIdToken } from '../rules/token-kind.js'
import type { TokenVerifier, Verification, VerifiedClaims } from '../rules/verification.js'
import type { KeySet } from './key-set.js'
import { createVerifiedTokens } from './verified-tokens.js'

/**
 * The accepted signature algorithms: all with a public key that Auth0 offers for tokens. `HS256` would need a secret of
 * each application or API.
 *
 * @see https://auth0.com/docs/get-started/applications/signing-algorithms
 */
const ALGORITHMS = ['RS256', 'RS512', 'PS256']

/** `Retry-After` if the key set does not state when it can be fetched again, in milliseconds. */
const RETRY_AFTER_MS = 5_000

/** Options of {@link createTokenVerifier}. */
export interface TokenVerifierOptions {
  /** The accepted issuers, without the slash at the end that Auth0 adds. */
  issuers: readonly string[]
  keySet: Pick<KeySet, 'find' | 'generation'>
  /** The audiences of access tokens. An ID token has none of them. */
  apiAudiences: readonly string[]
  /** How long ago an `id_token_hint` may have expired, in milliseconds. */
  maxHintAgeMs: number
}

/** Decides whether a token whose signature, issuer and lifetime are verified is of a kind. */
type IsKind = (typ: unknown, claims: Record<string, unknown>) => boolean

/** Creates a verifier of the tokens of a tenant. Keys and issuers come from the configuration, never from a token. */
export function createTokenVerifier(options: TokenVerifierOptions): TokenVerifier {
  const { issuers, keySet, apiAudiences, maxHintAgeMs } = options
  const issuer = issuers.flatMap((url) => [url, `${url}/`])

  const verify = async (
    token: string,
    expected: JWTVerifyOptions,
    isKind: IsKind,
  ): Promise<Verification> => {
    try {
      const { payload, protectedHeader } = await jwtVerify(token, keySet.find, {
        algorithms: ALGORITHMS,
        issuer,
        ...expected,
      })
      return isKind(protectedHeader.typ, payload)
        ? { outcome: 'valid', claims: payload as VerifiedClaims }
        : { outcome: 'invalid', reason: 'the token is of another kind' }
    } catch (error) {
      return toVerification(error)
    }
  }

  const verified = createVerifiedTokens()
  return {
    async verifyAccessToken(token, audience) {
      const generation = keySet.generation()
      const known = generation === null ? undefined : verified.find(token, audience, generation)
      if (known !== undefined) return { outcome: 'valid', claims: known }
      const expected = { audience, requiredClaims: ['sub', 'iat', 'exp'] }
      const verification = await verify(token, expected, isAccessToken)
      if (verification.outcome === 'valid' && generation !== null) {
        verified.add(token, audience, generation, verification.claims)
      }
      return verification
    },
    verifyIdTokenHint: (hint, clientId) =>
      verify(
        hint,
        {
          ...(clientId !== null && { audience: clientId }),
          requiredClaims: ['sub', 'aud', 'iat', 'exp'],
          clockTolerance: Math.floor(maxHintAgeMs / 1000),
        },
        (typ, claims) => isIdToken(typ, claims, apiAudiences),
      ),
  }
}

/** Returns the result of a verification that has thrown. The reason contains no value of the token. */
function toVerification(error: unknown): Verification {
  if (hasCode(error, 'KEY_SET_UNAVAILABLE')) {
    return { outcome: 'unknown', retryAfterMs: error.retryAfterMs ?? RETRY_AFTER_MS }
  }
  if (error instanceof errors.JWTExpired) {
    return { outcome: 'invalid', reason: 'the token has expired' }
  }
  if (error instanceof errors.JWTClaimValidationFailed) {
    return { outcome: 'invalid', reason: `the claim ${error.claim} of the token is not accepted` }
  }
  if (error instanceof errors.JOSEError) {
    return { outcome: 'invalid', reason: 'the token or its signature is invalid' }
  }
  throw error
}
