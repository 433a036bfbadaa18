/** Claims that only ID tokens and logout tokens have (OpenID Connect Core §2, §3.3.2.11; Back-Channel Logout §2.4). */
const ID_TOKEN_CLAIMS = ['nonce', 'at_hash', 'c_hash', 's_hash', 'events']

/** Claims that only access tokens have. */
const ACCESS_TOKEN_CLAIMS = ['scope', 'permissions', 'client_id', 'gty']

/**
 * Whether a token is an access token.
 *
 * - A token with the header `typ` `at+jwt` (RFC 9068 §2.1) is an access token.
 * - Under Auth0's default profile, `typ` is `JWT` for both access tokens and ID tokens. Then `azp` or `client_id` names
 *   the client. The client is the audience of an ID token, but never of an access token.
 *
 * @see https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles
 */
export function isAccessToken(typ: unknown, claims: Record<string, unknown>): boolean {
  const type = readType(typ)
  if (type === 'at+jwt') return true
  if (type !== 'jwt' || hasAny(claims, ID_TOKEN_CLAIMS)) return false
  const client = claims.azp ?? claims.client_id
  return client === undefined
    ? hasAny(claims, ACCESS_TOKEN_CLAIMS)
    : typeof client === 'string' && !readAudiences(claims).includes(client)
}

/**
 * Whether a token is an ID token. The audience of an ID token is a client, not an API.
 *
 * @see https://openid.net/specs/openid-connect-core-1_0.html#IDToken
 */
export function isIdToken(
  typ: unknown,
  claims: Record<string, unknown>,
  apiAudiences: readonly string[],
): boolean {
  if (readType(typ) !== 'jwt' || hasAny(claims, ['events', ...ACCESS_TOKEN_CLAIMS])) return false
  const audiences = readAudiences(claims)
  const isForClient = !audiences.some((audience) => apiAudiences.includes(audience))
  return isForClient && (claims.azp === undefined || audiences.includes(String(claims.azp)))
}

/** Reads the header `typ`. The prefix `application/` is optional (RFC 7515 §4.1.9). */
function readType(typ: unknown): string {
  if (typ === undefined) return 'jwt'
  return String(typ)
    .toLowerCase()
    .replace(/^application\//, '')
}

function readAudiences({ aud }: Record<string, unknown>): string[] {
  return [aud].flat().filter((audience) => typeof audience === 'string')
}

function hasAny(claims: Record<string, unknown>, names: readonly string[]): boolean {
  return names.some((name) => claims[name] !== undefined)
}
