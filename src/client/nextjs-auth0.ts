import { type NextRequest, NextResponse } from 'next/server.js'
import type { Claims, LastLogoutClient } from './client.js'
import { readDenial } from './refresh-denial.js'
import { toRefusal } from './refusal.js'
import {
  type CookieOptions,
  type CookieStore,
  deleteCookies,
  listSessionCookies,
} from './session-cookies.js'

/** The part of a session of `@auth0/nextjs-auth0` that is used. `createdAt` is a NumericDate. */
export interface Session {
  user: { sub: string }
  tokenSet: { idToken?: string | undefined }
  internal: { sid: string; createdAt: number }
}

/** The part of `Auth0Client` of `@auth0/nextjs-auth0` that is used. */
export interface Auth0ClientLike {
  middleware(request: NextRequest): Promise<NextResponse>
  getSession(request: NextRequest): Promise<Session | null>
  getAccessToken(
    request: NextRequest,
    response: NextResponse,
    options: { refresh: boolean },
  ): Promise<unknown>
}

/** The options of {@link deleteSession}. */
export interface DeleteSessionOptions {
  /** The option `session.cookie` of `Auth0Client`, if the app sets it. */
  cookie?: CookieOptions
}

/** The options of {@link endLoggedOutSessions}. */
export interface EndSessionsOptions extends DeleteSessionOptions {
  /** The option `routes.logout` of `Auth0Client`, if the app sets it. Default `/auth/logout`. */
  logoutPath?: string
}

/** The header of a response that lets Next.js continue with the request. */
const CONTINUE_HEADER = 'x-middleware-next'

/**
 * Creates the function for `proxy.ts` (before Next.js 16: `middleware.ts`) of an app with `@auth0/nextjs-auth0` 4. It
 * calls `auth0.middleware`, and checks each request that has a session. If the user or the session was logged out, the
 * function removes the session from the request, so that the app does not see the session, and deletes the cookies. It
 * also deletes the cookies if the login Action denies a refresh at `/auth/access-token` because of a logout.
 *
 * If the revocation status is unknown and `onUnknown` is `deny`, the response is a 503, and the session continues. A
 * request for the logout route is not checked, because the library needs the session for the logout at Auth0.
 *
 * @throws `TypeError` if the cookies of a session that must end have another name than `cookie.name`.
 * @example
 * export const proxy = endLoggedOutSessions(client, auth0)
 */
export function endLoggedOutSessions(
  client: LastLogoutClient,
  auth0: Auth0ClientLike,
  { cookie, logoutPath = '/auth/logout' }: EndSessionsOptions = {},
): (request: NextRequest) => Promise<NextResponse> {
  return async (request) => {
    if (request.method === 'GET' && request.nextUrl.pathname === logoutPath) {
      const response = await auth0.middleware(request)
      // If the logout route of the library has another path, this request is for the app, and must be checked.
      if (!response.headers.has(CONTINUE_HEADER)) return response
    }
    const session = await auth0.getSession(request)
    if (session === null) return auth0.middleware(request)
    const refusal = toRefusal(await client.check(readClaims(session)))
    if (refusal?.status === 503) {
      const { status, headers, body } = refusal
      return NextResponse.json(body, {
        status,
        headers: { ...headers, 'Cache-Control': 'no-store' },
      })
    }
    const names = listSessionCookies(request.cookies.getAll(), cookie)
    const isEnded = refusal !== null
    const response = await (isEnded
      ? runWithoutSession(auth0, request, names)
      : auth0.middleware(request))
    if (isEnded || (await isRefreshDenied(auth0, request, response))) {
      // The response to a login sets cookies of the new session, which must stay.
      const oldNames = names.filter((name) => !response.cookies.has(name))
      deleteCookies(response.cookies, oldNames, cookie)
      response.headers.set('Cache-Control', 'private, no-store')
    }
    return response
  }
}

/**
 * Returns the claims of a session. `internal` comes from the login, and a refresh does not change it. The ID token can
 * come from a later refresh, so its `iat` can be later than the login. The ID token contains the claims of the login
 * Action. Its signature is not verified here, because the library verified it before it encrypted the session.
 */
function readClaims({ user, tokenSet, internal }: Session): Claims {
  const claims = decodePayload(tokenSet.idToken)
  const { sid, createdAt } = internal
  const iat = Math.min(createdAt, typeof claims.iat === 'number' ? claims.iat : createdAt)
  return { sub: user.sub, ...claims, sid, iat }
}

function decodePayload(token: string | undefined): Claims {
  const [, payload] = token?.split('.') ?? []
  if (payload === undefined) return {}
  const binary = atob(payload.replaceAll('-', '+').replaceAll('_', '/'))
  const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0))
  return JSON.parse(new TextDecoder().decode(bytes))
}

/** Runs the library without the session. If the request continues, the app receives it without the session, too. */
async function runWithoutSession(
  auth0: Auth0ClientLike,
  request: NextRequest,
  names: string[],
): Promise<NextResponse> {
  request.cookies.delete(names)
  if ((await auth0.getSession(request)) !== null) {
    throw new TypeError(
      'endLoggedOutSessions: the session was logged out, but its cookies have another name. Set the option cookie to the option session.cookie of Auth0Client.',
    )
  }
  const response = await auth0.middleware(request)
  if (response.headers.has(CONTINUE_HEADER)) {
    const { headers } = NextResponse.next({ request: { headers: request.headers } })
    for (const [name, value] of headers) response.headers.set(name, value)
  }
  return response
}

/**
 * Whether the library sent this response because the login Action denied a refresh. The response does not contain the
 * reason, so the refresh is repeated. A denied exchange does not use up the refresh token.
 */
async function isRefreshDenied(
  auth0: Auth0ClientLike,
  request: NextRequest,
  response: NextResponse,
): Promise<boolean> {
  if (response.status !== 401) return false
  const body: unknown = await response
    .clone()
    .json()
    .catch(() => null)
  const { error } = Object(body)
  if (error?.code !== 'failed_to_refresh_token') return false
  return auth0
    .getAccessToken(request, response, { refresh: true })
    .then(() => false, isDeniedRefresh)
}

/**
 * Whether `auth0.getAccessToken` failed because the login Action denied the refresh of a logged-out session.
 * The library keeps the session. End the session with {@link deleteSession}, in a route handler or a server action.
 */
export function isDeniedRefresh(error: unknown): boolean {
  const { code, message } = Object(Object(error).cause)
  return readDenial(code, message) === 'revoked'
}

/**
 * Deletes all cookies of a session of `@auth0/nextjs-auth0`.
 *
 * @param cookies The result of `await cookies()` of `next/headers`, in a route handler or a server action.
 * @example
 * deleteSession(await cookies())
 */
export function deleteSession(cookies: CookieStore, { cookie }: DeleteSessionOptions = {}): void {
  deleteCookies(cookies, listSessionCookies(cookies.getAll(), cookie), cookie)
}
