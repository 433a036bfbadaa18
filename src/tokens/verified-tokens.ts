import type { VerifiedClaims } from '../rules/verification.js'

/** Maximum number of remembered tokens. If there are more, the oldest one is evicted. */
const MAX_TOKENS = 5_000

/** Maximum length of a remembered token. Longer ones are verified each time. */
const MAX_TOKEN_LENGTH = 8_192

/**
 * Remembers tokens that were verified for an audience. Users send the same token with each request, and the verification
 * of its signature takes longer than everything else. A token is remembered until it expires, or until the keys are
 * fetched again: a key that was removed from the key set then verifies no token.
 */
export interface VerifiedTokens {
  /** Returns the claims of a token, if it was verified with the keys of this generation and has not expired. */
  find(token: string, audience: string, generation: number): VerifiedClaims | undefined
  add(token: string, audience: string, generation: number, claims: VerifiedClaims): void
}

/** A token that was verified. */
interface VerifiedToken {
  audience: string
  generation: number
  claims: VerifiedClaims
}

/** Creates an empty memory of verified tokens. */
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
      // A `Map` keeps the order of insertion: the first key is the oldest token.
      tokens.delete(token)
      tokens.set(token, { audience, generation, claims })
      const [oldest] = tokens.keys()
      if (tokens.size > MAX_TOKENS && oldest !== undefined) tokens.delete(oldest)
    },
  }
}
