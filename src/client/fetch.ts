import { schemeOfClaims } from './challenge-scheme.js'
import type { LastLogoutClient } from './client.js'
import { toRefusal } from './refusal.js'
import { assertClaims } from './verified-claims.js'

/** Options of the check for servers that use `Request` and `Response`. */
export interface FetchOptions<Input> {
  /** Returns the verified claims of the input, such as `(context) => context.get('jwtPayload')`. Default: the input. */
  getClaims?: (input: Input) => object | undefined
}

/**
 * Creates a check for servers that use the web standard `Request` and `Response`.
 *
 * @returns A function that takes verified claims. It resolves to the response that refuses the request, or to `null` if
 *   the request may continue. It rejects with a `TypeError` if the claims are missing.
 * @example
 * const checkClaims = lastLogout(client)
 * const refusal = await checkClaims(claims)
 * if (refusal) return refusal
 */
export function lastLogout<Input = object>(
  client: LastLogoutClient,
  { getClaims }: FetchOptions<Input> = {},
): (input: Input) => Promise<Response | null> {
  const source = getClaims ? 'the result of getClaims' : 'the argument'
  return async (input) => {
    const claims = assertClaims(getClaims ? getClaims(input) : input, source)
    const refusal = toRefusal(await client.check(claims), schemeOfClaims(claims))
    if (refusal === null) return null
    const { status, headers, body } = refusal
    return Response.json(body, { status, headers })
  }
}
