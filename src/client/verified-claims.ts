import type { Claims } from './client.js'

const USE_GET_CLAIMS =
  'pass the option getClaims to name the verified claims, as in { getClaims: (request) => … }.'

/**
 * The claims that a JWT library has left in a request. Throws a `TypeError` on anything else: a
 * request that was not verified must not get around the check.
 *
 * @param source Where they were expected, for the message.
 */
export function assertClaims(found: unknown, source: string): Claims {
  if (typeof found !== 'object' || found === null) {
    throw new TypeError(
      `lastLogout(client): no verified claims in ${source}. Run it after the JWT library, or ${USE_GET_CLAIMS}`,
    )
  }
  const claims = found as Claims
  if (typeof claims.then === 'function') {
    throw new TypeError(
      `lastLogout(client): ${source} is a promise, not the verified claims. Await it before, and ${USE_GET_CLAIMS}`,
    )
  }
  if (isDecodedToken(claims)) {
    throw new TypeError(
      `lastLogout(client): ${source} holds a decoded token, not its claims. Instead, ${USE_GET_CLAIMS}`,
    )
  }
  return claims
}

/** Header, payload and signature in place of the payload, as the option `complete: true` leaves them. */
function isDecodedToken({ sub, payload }: Claims): boolean {
  return sub === undefined && typeof payload === 'object' && payload !== null
}
