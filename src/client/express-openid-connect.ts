import type { Claims, LastLogoutClient } from './client.js'
import { readDenial } from './refresh-denial.js'
import { toRefusal } from './refusal.js'
import { RejectedError } from './rejected-error.js'
import { assertClaims } from './verified-claims.js'

/** The cookie session of `express-openid-connect`. */
type Session = Record<string, unknown>

/** The part of the library's configuration that is used. */
interface ConfigLike {
  session: { name: string }
}

/** The login of a session: the nonce and the `iat` of the ID token that the login returned. */
interface Login {
  nonce: unknown
  iat: unknown
}

/** The property of the session that contains its login. */
const LOGIN_PROPERTY = 'last_logout_login'

/** The value of the option `backchannelLogout` of `auth()`. */
export interface BackchannelLogoutOptions {
  isLoggedOut(req: object, config: object): Promise<boolean>
  onLogoutToken(): void
  onLogin: false
}

/**
 * Creates the option `backchannelLogout` of `auth()` of `express-openid-connect`. At each request with a session, the
 * library checks whether its user or session was logged out. If so, it ends the session before it requires a login. An
 * unknown revocation status that `onUnknown` denies is an error with status 503, and the session is kept.
 *
 * The library also opens its route for logout tokens. It verifies a token and responds with 204, and nothing is stored:
 * the log of the tenant reports the logout.
 *
 * @example
 * app.use(auth({ …, backchannelLogout: endLoggedOutSessions(client) }))
 */
export function endLoggedOutSessions(client: LastLogoutClient): BackchannelLogoutOptions {
  return {
    async isLoggedOut(req, config) {
      const { name } = (config as ConfigLike).session
      const { oidc, [name]: session } = req as { oidc?: { idTokenClaims?: unknown } } & Session
      const claims = assertClaims(oidc?.idTokenClaims, 'req.oidc.idTokenClaims')
      const { iat } = readLogin(session as Session, claims)
      const refusal = toRefusal(await client.check({ ...claims, iat }))
      if (refusal?.status === 503) throw new RejectedError(refusal)
      return refusal !== null
    },
    onLogoutToken() {},
    onLogin: false,
  }
}

/**
 * Returns the login of a session, and stores it in the session. A refresh replaces the ID token, with a newer `iat`: it
 * has no nonce, or the nonce of the login. Each login has a new nonce. Its callback can keep the session's properties.
 */
function readLogin(session: Session, { nonce, iat }: Claims): Login {
  const known = session[LOGIN_PROPERTY] as Login | undefined
  if (known !== undefined && (nonce === undefined || nonce === known.nonce)) return known
  const login: Login = { nonce, iat }
  session[LOGIN_PROPERTY] = login
  return login
}

/** The part of an error of `openid-client` that is used. */
interface OAuthErrorLike {
  error?: unknown
  error_description?: unknown
}

/**
 * Creates an Express error handler for a refresh that the login Action denied. If the session was logged out, the handler
 * ends the cookie session and passes on an error with status 401. If the Action could not read the revocation status, the
 * handler keeps the session and passes on an error with status 503. It passes on every other error as it is.
 *
 * @param options `sessionName`: the option `session.name` of `auth()`. Default `appSession`.
 * @example
 * app.use(endDeniedSessions())
 */
export function endDeniedSessions({ sessionName = 'appSession' }: { sessionName?: string } = {}) {
  return (error: unknown, req: object, _res: unknown, next: (error: unknown) => void): void => {
    const { error: code, error_description } = Object(error) as OAuthErrorLike
    const denial = readDenial(code, error_description)
    if (denial === null) {
      next(error)
      return
    }
    if (denial === 'revoked') Object.assign(req, { [sessionName]: undefined })
    const refusal = toRefusal({ allowed: false, outcome: denial })
    next(refusal && new RejectedError(refusal))
  }
}
