import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import type { Known } from '../ports.js'
import type { Instant } from '../rules/instant.js'
import type { Policy } from '../rules/judge.js'
import { toDateTime, toFreshness } from './freshness.js'
import { errorResponses, freshnessSchema, idSchema, instantSchema } from './schemas.js'

/** What the routes under `/v1` read from. */
export interface ReadDeps {
  readKnown(userId: string, sessionId: string | null): Promise<Known>
  policy: Policy
  now: () => Instant
}

const lastLogoutSchema = z.object({
  user_id: z.string(),
  last_logout_at: instantSchema.nullable().describe("The user's own; never the floor's"),
  last_logout: z.number().nullable().describe('The same as NumericDate (RFC 7519 §2)'),
  all_sessions_at: instantSchema.nullable().describe('The last logout that ended all sessions'),
  session: z
    .object({ session_id: z.string(), logout_at: instantSchema.nullable(), ended: z.boolean() })
    .nullable()
    .describe('The session that was asked for'),
  floor_at: instantSchema
    .nullable()
    .describe('Tokens from before it are revoked, whoever has them'),
  policy: z.enum(['session', 'user']),
  ...freshnessSchema.shape,
})

/** `GET /v1/users/{user_id}/last-logout` */
export function lastLogoutRoute(deps: ReadDeps): FastifyPluginAsyncZod {
  return async (app) => {
    app.get(
      '/v1/users/:user_id/last-logout',
      {
        config: { access: 'read' },
        schema: {
          summary: "A user's last logout, and that of one of the user's sessions",
          params: z.object({ user_id: idSchema }),
          querystring: z.object({ session_id: idSchema.optional() }),
          response: { 200: lastLogoutSchema, ...errorResponses },
        },
      },
      async ({ params, query }) => {
        const { user_id } = params
        const { session_id } = query
        const known = await deps.readKnown(user_id, session_id ?? null)
        return {
          user_id,
          last_logout_at: toDateTime(known.user?.at ?? null),
          last_logout: known.user ? known.user.at / 1000 : null,
          all_sessions_at: toDateTime(known.user?.allSessionsAt ?? null),
          session: session_id === undefined ? null : toSession(session_id, known),
          floor_at: toDateTime(known.floorAt),
          policy: deps.policy,
          ...toFreshness(known.asOf, deps.now()),
          complete: known.complete,
        }
      },
    )
  }
}

function toSession(session_id: string, { session }: Known) {
  const logout_at = toDateTime(session?.at ?? null)
  return { session_id, logout_at, ended: session?.ended ?? false }
}
