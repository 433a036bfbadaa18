import type { VerifiedClaims } from '../rules/verification.js'

/** Maximum number of cached tokens. If there are more, the oldest token is evicted. */
export const MAX_VERIFIED_TOKENS = 5_000

/** Maximum length of a cached token. Longer tokens are verified each time. */
const MAX_TOKEN_LENGTH = 8_192

/**
 * Caches the tokens that were verified for an audience. Users send the same token with each request, and the
 * verification of its signature is the slowest part of a check. A token stays in the cache until it expires. It is also
 * ignored after a new fetch of the keys, because the new key set may not contain the token's key.
 */
export interface VerifiedTokens {
  /** Returns the claims of a cached token if `generation` still matches, and the token has not expired. */
  find(token: string, audience: string, generation: number): VerifiedClaims | undefined
  add(token: string, audience: string, generation: number, claims: VerifiedClaims): void
}

/** A token that was verified with the keys of `generation`. */
interface VerifiedToken {
  audience: string
  generation: number
  claims: VerifiedClaims
}

/** Creates an empty cache of verified tokens. */
export function createVerifiedTokens(): VerifiedTokens {
  const tokens = new Map<string, VerifiedToken>()
  return {
    find(token, audience, generation) {
      const found = tokens.get(token)
      if (found === undefined) return undefined
      const isCurrent = found.generation === generation && found.claims.exp > Date.now() / 1000
      return isCurrent && found.audience === audience ? found.claims : undefined
    },
    add(token, audience, generation, claims) {
      if (token.length > MAX_TOKEN_LENGTH) return
      // A `Map` keeps the order of insertion, so the first key is the oldest token.
      tokens.delete(token)
      tokens.set(token, { audience, generation, claims })
      const [oldest] = tokens.keys()
      if (tokens.size > MAX_VERIFIED_TOKENS && oldest !== undefined) tokens.delete(oldest)
    },
  }
}
