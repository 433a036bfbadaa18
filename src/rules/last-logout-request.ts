import type { Instant } from './instant.js'

/** The user and the session whose last logouts are requested. */
export interface RequestedIds {
  userId: string
  /** `null`: no session is requested. */
  sessionId: string | null
}

/**
 * The part of the URL that contains the user id. The query is preferred, because some proxies decode or reject an
 * encoded `/` or `..` in a path. A service of release 0.1.0 supports only the path.
 */
export type RequestForm = 'query' | 'path'

/** How long the path form is used, in milliseconds, before the query form is tried again. */
const QUERY_RETRY_INTERVAL_MS = 600_000

/**
 * Returns the path of the request, relative to the URL of the service.
 *
 * @throws `URIError` if an id contains a lone surrogate.
 */
export function lastLogoutPath({ userId, sessionId }: RequestedIds, form: RequestForm): string {
  const session = sessionId === null ? '' : `session_id=${encodeURIComponent(sessionId)}`
  const user = encodeURIComponent(userId)
  if (form === 'query') return `v1/last-logout?user_id=${user}${session && `&${session}`}`
  return `v1/users/${user}/last-logout${session && `?${session}`}`
}

/**
 * Chooses the form of the request.
 *
 * @param queryRejectedAt When the service last rejected the query form; `null`: never.
 */
export function chooseForm(queryRejectedAt: Instant | null, now: Instant): RequestForm {
  if (queryRejectedAt === null) return 'query'
  // If the clock was set back, the elapsed time is negative and unusable.
  const elapsedMs = now - queryRejectedAt
  return elapsedMs >= 0 && elapsedMs < QUERY_RETRY_INTERVAL_MS ? 'path' : 'query'
}

/**
 * Whether the service, and not a proxy, sent this body of a 404. If so, the service does not support the query form.
 */
export function isOwnNotFound(body: string): boolean {
  const json = parseObject(body)
  const isError = typeof json?.error === 'string' && typeof json.message === 'string'
  return isError && json.statusCode === 404 && Object.keys(json).length === 3
}

/**
 * Whether a response is about the requested user and session. A proxy that rewrites paths can cause another response.
 */
export function isAbout(json: unknown, { userId, sessionId }: RequestedIds): boolean {
  const { user_id, session } = Object(json)
  if (user_id !== userId) return false
  return sessionId === null ? session === null : Object(session).session_id === sessionId
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    return Object(JSON.parse(text))
  } catch {
    return null
  }
}
