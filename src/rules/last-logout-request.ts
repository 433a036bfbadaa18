import type { Instant } from './instant.js'

/** How long the older form is used before the newer one is tried again, in milliseconds. */
const RETRY_AFTER_MS = 600_000

/** Whose last logout is requested. */
export interface RequestedIds {
  userId: string
  /** `null`: no session's. */
  sessionId: string | null
}

/**
 * Where the user id stands in the request: in the query, or in the path, as services of 0.1.0 need
 * it. Proxies decode, normalize or reject an encoded `/` or `..` in a path; a query passes unchanged.
 */
export type RequestForm = 'query' | 'path'

/** The path of the request, relative to the service's URL. Throws a `URIError` on half a surrogate pair. */
export function lastLogoutPath({ userId, sessionId }: RequestedIds, form: RequestForm): string {
  const session = sessionId === null ? '' : `session_id=${encodeURIComponent(sessionId)}`
  const user = encodeURIComponent(userId)
  if (form === 'query') return `v1/last-logout?user_id=${user}${session && `&${session}`}`
  return `v1/users/${user}/last-logout${session && `?${session}`}`
}

/**
 * Which form to use, when the service did not have the query form at `missingAt` (`null`: it has not
 * been missing). A clock that was set back since then means trying the query form at once.
 */
export function chooseForm(missingAt: Instant | null, now: Instant): RequestForm {
  if (missingAt === null) return 'query'
  const elapsedMs = now - missingAt
  return elapsedMs >= 0 && elapsedMs < RETRY_AFTER_MS ? 'path' : 'query'
}

/**
 * Whether the body of a 404 is this service's own, which tells that the service is an older one and
 * has no such path. A proxy's 404 tells nothing of the service.
 */
export function isOwnNotFound(body: string): boolean {
  const json = parseObject(body)
  const isError = typeof json?.error === 'string' && typeof json.message === 'string'
  return isError && json.statusCode === 404 && Object.keys(json).length === 3
}

/**
 * Whether a response is about the user and the session that were requested. A path that a proxy has
 * rewritten gets the response about another user.
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
