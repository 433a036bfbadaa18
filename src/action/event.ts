import { readId } from '../rules/id.js'
import { type Login, readLogin } from '../rules/login.js'

/**
 * What is used of a post-login event. Fields that Auth0 documents may be missing all the same, by plan
 * and by flow.
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

/** What is used of the post-login API. */
export interface PostLoginApi {
  accessToken: { setCustomClaim(name: string, value: unknown): void }
  idToken: { setCustomClaim(name: string, value: unknown): void }
  access: { deny(reason: string): void }
}

/** Whose login it is, and of which session. */
export interface Subject {
  userId: string
  sessionId: string | null
  login: Login
}

/** Reads an event. */
export function readSubject(event: PostLoginEvent): Subject {
  const { methods } = event.authentication ?? {}
  const facts = {
    protocol: event.transaction?.protocol,
    refreshTokenCreatedAt: event.refresh_token?.created_at,
    methodTimestamps: Array.isArray(methods) ? methods.map((method) => method?.timestamp) : [],
  }
  return {
    userId: event.user.user_id,
    sessionId: readId(event.session?.id) ?? readId(event.refresh_token?.session_id),
    login: readLogin(facts, Date.now()),
  }
}
