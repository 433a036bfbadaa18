import { errors, type JWTVerifyOptions, jwtVerify } from 'jose'
import { hasCode } from '../errors.js'
import { isAccessToken, isIdToken } from '../rules/token-kind.js'
import type { TokenVerifier, Verification, VerifiedClaims } from '../rules/verification.js'
import type { KeySet } from './key-set.js'
import { createVerifiedTokens } from './verified-tokens.js'

/**
 * The accepted signature algorithms. They are all algorithms with a public key that Auth0 offers for tokens. `HS256` is
 * not accepted, because it requires a secret of each application or API.
 *
 * @see https://auth0.com/docs/get-started/applications/signing-algorithms
 */
const ALGORITHMS = ['RS256', 'RS512', 'PS256']

/** Default of `Retry-After` if the key set gives no time for the next fetch, in milliseconds. */
const RETRY_AFTER_MS = 5_000

/** Options of {@link createTokenVerifier}. */
export interface TokenVerifierOptions {
  /** The accepted issuers, without the trailing slash that Auth0 adds. */
  issuers: readonly string[]
  keySet: Pick<KeySet, 'find' | 'generation'>
  /** The audiences of access tokens. A token with one of them is not an ID token. */
  apiAudiences: readonly string[]
  /** Maximum time since the expiry of an `id_token_hint`, in milliseconds. */
  maxHintAgeMs: number
}

/**
 * Returns whether a verified token is of the expected kind, such as an access token. `typ` is from the token's header.
 */
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

/** Converts an error of a verification to a result. The reason contains no value from the token. */
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
