import type { Claims, LastLogoutClient } from './client.js'
import { readDenial } from './refresh-denial.js'
import { toRefusal } from './refusal.js'
import { RejectedError } from './rejected-error.js'
import { assertClaims } from './verified-claims.js'

/** The cookie session of `express-openid-connect`. */
type Session = Record<string, unknown>

/** The used part of the configuration of `express-openid-connect`. */
interface ConfigLike {
  session: { name: string }
}

/** Nonce and `iat` of the ID token from the login of a session. */
interface Login {
  nonce: unknown
  iat: unknown
}

/** The session property that contains the {@link Login}. */
const LOGIN_PROPERTY = 'last_logout_login'

/** The value of the option `backchannelLogout` of `auth()`. */
export interface BackchannelLogoutOptions {
  isLoggedOut(req: object, config: object): Promise<boolean>
  onLogoutToken(): void
  onLogin: false
}

/**
 * Creates the option `backchannelLogout` of `auth()` of `express-openid-connect`. At each request with a session, the
 * library checks whether the user or the session was logged out. If so, it ends the cookie session. If the revocation
 * status is unknown and `onUnknown` is `deny`, the request fails with status 503, and the cookie session continues.
 *
 * With this option, the library also serves its route for logout tokens. The route stores nothing, because the client
 * learns of the logout from last-logout.
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
 * Returns the login of a session, and stores it in the session. The current ID token can come from a later refresh, and
 * then has a newer `iat`. Such an ID token has no nonce, or the nonce of the login. An ID token with another nonce
 * comes from a new login.
 */
function readLogin(session: Session, { nonce, iat }: Claims): Login {
  const storedLogin = session[LOGIN_PROPERTY] as Login | undefined
  if (storedLogin !== undefined && (nonce === undefined || nonce === storedLogin.nonce)) {
    return storedLogin
  }
  const login: Login = { nonce, iat }
  session[LOGIN_PROPERTY] = login
  return login
}

/** The used part of an error of `openid-client`. */
interface OAuthErrorLike {
  error?: unknown
  error_description?: unknown
}

/**
 * Creates an Express error handler for a refresh that the login Action denied.
 *
 * - If the session was logged out, the handler ends the cookie session and passes an error with status 401 to `next`.
 * - If the Action could not read the revocation status, the cookie session continues, and the status is 503.
 * - Any other error is passed to `next` unchanged.
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
