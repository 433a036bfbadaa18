import type { Claims, LastLogoutClient } from './client.js'
import { toRefusal } from './refusal.js'

/**
 * For servers that speak `Request` and `Response`: what to answer to the bearer of these verified
 * claims; `null`: go on.
 *
 * @example
 * const refuse = lastLogout(client)
 * const refusal = await refuse(claims)
 * if (refusal) return refusal
 */
export function lastLogout(client: LastLogoutClient): (claims: Claims) => Promise<Response | null> {
  return async (claims) => {
    const refusal = toRefusal(await client.check(claims))
    if (refusal === null) return null
    const { status, headers, body } = refusal
    return Response.json(body, { status, headers })
  }
}
