import type { Claims } from './client.js'

const USE_GET_CLAIMS =
  'set the option getClaims, as in { getClaims: (request) => … }, to return the verified claims.'

/**
 * Asserts that a value can be the verified claims of a token, so that no request bypasses the check by mistake.
 *
 * @param source The source of the value. It is part of the error message.
 * @param advice How to pass the claims. It is part of the error message.
 * @throws `TypeError` for any other value.
 */
export function assertClaims(
  value: unknown,
  source: string,
  advice: string = USE_GET_CLAIMS,
): Claims {
  if (typeof value !== 'object' || value === null) {
    throw new TypeError(
      `lastLogout(client): no verified claims in ${source}. Run it after the JWT library, or ${advice}`,
    )
  }
  const claims = value as Claims
  if (typeof claims.then === 'function') {
    throw new TypeError(
      `lastLogout(client): ${source} is a promise, not the verified claims. Await it first, and ${advice}`,
    )
  }
  if (isDecodedToken(claims)) {
    throw new TypeError(
      `lastLogout(client): ${source} holds a decoded token, not its claims. Instead, ${advice}`,
    )
  }
  return claims
}

/**
 * Whether a value is a decoded token with header and payload, as with the option `complete: true` of `@fastify/jwt`.
 */
function isDecodedToken({ sub, payload }: Claims): boolean {
  return sub === undefined && typeof payload === 'object' && payload !== null
}
