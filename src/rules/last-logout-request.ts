import type { Instant } from './instant.js'

/** How long the path form is used before the query form is tried again, in milliseconds. */
const QUERY_RETRY_INTERVAL_MS = 600_000

/** The user and the session whose last logout is requested. */
export interface RequestedIds {
  userId: string
  /** `null`: no session. */
  sessionId: string | null
}

/**
 * Where the request carries the user id: in the query, or in the path, as release 0.1.0 requires. Proxies
 * decode, normalize or reject an encoded `/` or `..` in a path, but pass a query unchanged.
 */
export type RequestForm = 'query' | 'path'

/**
 * The path of the request, relative to the URL of the service.
 *
 * @throws `URIError` for a lone surrogate.
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
 * @param missingAt When the service last had no query form; `null`: it always had one. If the clock was set
 *   back since then, the query form is tried at once.
 */
export function chooseForm(missingAt: Instant | null, now: Instant): RequestForm {
  if (missingAt === null) return 'query'
  const elapsedMs = now - missingAt
  return elapsedMs >= 0 && elapsedMs < QUERY_RETRY_INTERVAL_MS ? 'path' : 'query'
}

/**
 * Whether the body of a 404 comes from last-logout: an older release without this path. A 404 of a proxy says
 * nothing about the service.
 */
export function isOwnNotFound(body: string): boolean {
  const json = parseObject(body)
  const isError = typeof json?.error === 'string' && typeof json.message === 'string'
  return isError && json.statusCode === 404 && Object.keys(json).length === 3
}

/**
 * Whether a response is about the requested user and session. A proxy that rewrites the path causes a response
 * about another user.
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
