import type { Claims, LastLogoutClient } from './client.js'
import { toRefusal } from './refusal.js'
import { assertClaims } from './verified-claims.js'

/** What a check is called with, where that is not the claims themselves. */
export interface FetchOptions<Input> {
  /** Where the verified claims are in it, such as `(context) => context.get('jwtPayload')`. */
  getClaims?: (input: Input) => object | undefined
}

/**
 * For servers that speak `Request` and `Response`: what to answer to the bearer of these verified
 * claims; `null`: go on. Rejects with a `TypeError` where there are no claims.
 *
 * @example
 * const refuse = lastLogout(client)
 * const refusal = await refuse(claims)
 * if (refusal) return refusal
 */
export function lastLogout<Input = Claims>(
  client: LastLogoutClient,
  { getClaims }: FetchOptions<Input> = {},
): (input: Input) => Promise<Response | null> {
  const source = getClaims ? 'what getClaims returned' : 'what it was called with'
  return async (input) => {
    const claims = assertClaims(getClaims ? getClaims(input) : input, source)
    const refusal = toRefusal(await client.check(claims))
    if (refusal === null) return null
    const { status, headers, body } = refusal
    return Response.json(body, { status, headers })
  }
}
