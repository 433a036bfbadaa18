import type { FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { toDateTime } from '../rules/instant.js'
import type { Policy } from '../rules/judge.js'
import type { LogoutSnapshot } from '../rules/logout-snapshot.js'
import { inGroup } from './docs.js'
import { sendError } from './errors.js'
import { toFreshness } from './freshness.js'
import {
  errorResponses,
  freshnessSchema,
  idSchema,
  instantSchema,
  policySchema,
} from './schemas.js'

/** Dependencies of the routes that read last logouts. */
export interface ReadDeps {
  readKnownLogouts(userId: string, sessionId: string | null): Promise<LogoutSnapshot>
  policy: Policy
}

/** The last logout of a user. */
export const lastLogoutSchema = z.object({
  user_id: z.string(),
  last_logout_at: instantSchema
    .nullable()
    .describe("The user's last logout. It never includes the floor"),
  last_logout: z.number().nullable().describe('The same instant as a NumericDate (RFC 7519 §2)'),
  all_sessions_at: instantSchema.nullable().describe('The last logout that ended all sessions'),
  session: z
    .object({ session_id: z.string(), logout_at: instantSchema.nullable(), ended: z.boolean() })
    .nullable()
    .describe('The requested session; null if none was requested'),
  floor_at: instantSchema
    .nullable()
    .describe('Tokens of all users whose login is not after this instant are revoked'),
  policy: policySchema,
  ...freshnessSchema.shape,
})

/**
 * `GET /v1/last-logout`, and `GET /v1/users/{user_id}/last-logout` with the user id in the path. Some proxies decode or
 * reject an encoded `/` or `..` in a path, so callers should prefer the first route.
 */
export function lastLogoutRoutes(deps: ReadDeps): FastifyPluginAsyncZod {
  const params = z.object({ user_id: idSchema })
  const querystring = z.object({ session_id: idSchema.optional() })
  const response = { 200: lastLogoutSchema, ...errorResponses }
  const options = { config: { access: 'read' }, preValidation: rejectMalformedQuery } as const
  return async (app) => {
    app.get(
      '/v1/last-logout',
      {
        ...options,
        schema: {
          summary: "A user's last logout, and that of a session",
          tags: inGroup('Last logouts'),
          querystring: params.extend(querystring.shape),
          response,
        },
      },
      ({ query }) => readLastLogout(deps, query.user_id, query.session_id ?? null),
    )
    app.get(
      '/v1/users/:user_id/last-logout',
      {
        ...options,
        schema: {
          summary: 'The same as GET /v1/last-logout. Some proxies do not pass every id in a path',
          tags: inGroup('Last logouts'),
          params,
          querystring,
          response,
        },
      },
      ({ params, query }) => readLastLogout(deps, params.user_id, query.session_id ?? null),
    )
  }
}

/** Rejects malformed percent-encoding. The query parser would not decode it, so the id would be wrong. */
function rejectMalformedQuery(
  { url }: FastifyRequest,
  reply: FastifyReply,
  done: HookHandlerDoneFunction,
): void {
  try {
    decodeURIComponent(url.slice(url.indexOf('?') + 1))
  } catch {
    sendError(reply, 400, 'querystring must be percent-encoded UTF-8')
    return
  }
  done()
}

/** Reads the last logout of a user, and of a session if `sessionId` is not `null`. */
export async function readLastLogout(deps: ReadDeps, userId: string, sessionId: string | null) {
  const snapshot = await deps.readKnownLogouts(userId, sessionId)
  const { as_of, lag_ms } = toFreshness(snapshot)
  return {
    user_id: userId,
    last_logout_at: toDateTime(snapshot.user?.at ?? null),
    last_logout: snapshot.user ? snapshot.user.at / 1000 : null,
    all_sessions_at: toDateTime(snapshot.user?.allSessionsAt ?? null),
    session: sessionId === null ? null : toSession(sessionId, snapshot),
    floor_at: toDateTime(snapshot.floorAt),
    policy: deps.policy,
    as_of,
    lag_ms,
    complete: snapshot.complete,
  }
}

function toSession(session_id: string, { session }: LogoutSnapshot) {
  const logout_at = toDateTime(session?.at ?? null)
  return { session_id, logout_at, ended: session?.ended ?? false }
}
