import { type JudgeOptions, judge, type KnownLogouts, type RevokedReason } from './judge.js'
import { type ClaimNames, claimNames, readToken, type Token } from './token.js'

/** The claims that a token's facts are read from. */
export interface ClaimSources {
  /** `null`: the token names no session. */
  session: string | null
  /** `null`: the token does not say when its login was. */
  login: string | null
}

/** Names the claims that `readToken` goes by. */
export function sourcesOf(
  claims: Record<string, unknown>,
  names: ClaimNames = claimNames(),
): ClaimSources {
  const isRead = (name: string, fact: 'sessionId' | 'loginAt') => {
    const token = readToken({ sub: 'anybody', [name]: claims[name] }, names)
    return token !== null && token[fact] !== null
  }
  const session = [names.sessionId, 'sid'].find((name) => isRead(name, 'sessionId'))
  const login = [names.authenticatedAt, 'auth_time', 'iat'].find((name) => isRead(name, 'loginAt'))
  return { session: session ?? null, login: login ?? null }
}

/** Which logout decides about a token, revoked or not; `null`: none covers it. */
export function decidedBy(
  token: Token,
  known: KnownLogouts,
  options: JudgeOptions,
): RevokedReason | null {
  // A login from before everything is revoked, by whichever logout decides.
  const verdict = judge({ ...token, loginAt: Number.NEGATIVE_INFINITY }, known, options)
  return verdict.revoked ? verdict.reason : null
}
