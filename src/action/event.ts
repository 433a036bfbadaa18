import { readId } from '../rules/id.js'
import { type Login, readLogin } from '../rules/login.js'

/**
 * The fields of a post-login event that the Action uses. Depending on the plan and the flow, any field can be missing,
 * even fields that Auth0 documents as present.
 *
 * @see https://auth0.com/docs/customize/actions/reference/post-login/post-login-event-object
 */
export interface PostLoginEvent {
  user: { user_id: string }
  secrets?: Record<string, string | undefined>
  transaction?: { protocol?: string }
  session?: { id?: string }
  refresh_token?: { created_at?: string; session_id?: string }
  authentication?: { methods?: { timestamp?: string }[] }
}

/** The methods of the post-login API that the Action uses. */
export interface PostLoginApi {
  accessToken: { setCustomClaim(name: string, value: unknown): void }
  idToken: { setCustomClaim(name: string, value: unknown): void }
  access: { deny(reason: string): void }
}

/** The user, the session and the login for which tokens are issued. */
export interface LoginSubject {
  userId: string
  /** `null`: the event contains no session id. */
  sessionId: string | null
  login: Login
}

/** Reads the user, the session and the login from a post-login event. */
export function readSubject(event: PostLoginEvent): LoginSubject {
  const { methods } = event.authentication ?? {}
  const loginFacts = {
    protocol: event.transaction?.protocol,
    refreshTokenCreatedAt: event.refresh_token?.created_at,
    methodTimestamps: Array.isArray(methods) ? methods.map((method) => method?.timestamp) : [],
  }
  return {
    userId: event.user.user_id,
    sessionId: readId(event.session?.id) ?? readId(event.refresh_token?.session_id),
    login: readLogin(loginFacts, Date.now()),
  }
}
