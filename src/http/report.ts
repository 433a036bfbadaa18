import type { FastifyReply } from 'fastify'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import type { Instant } from '../rules/instant.js'
import type { ReportedLogout } from '../rules/reported.js'
import { inGroup } from './docs.js'
import { sendError } from './errors.js'
import { lastLogoutSchema, type ReadDeps, readLastLogout } from './last-logout.js'
import { dateTimeSchema, errorResponses, idSchema } from './schemas.js'

/** Dependencies of the routes that report a logout. */
export interface ReportDeps extends ReadDeps {
  /** Stores a logout. Returns the stored instant; `null`: nothing was stored, because `at` is too far in the future. */
  storeReported(logout: ReportedLogout): Promise<Instant | null>
}

const at = dateTimeSchema.describe('When the logout happened. Up to 60 s ahead counts as now')
const session_id = idSchema.optional().describe('Default: all sessions of the user')

/**
 * `POST /v1/logouts`: an application reports its own logout. `POST /v1/users/{user_id}/logout` does the same, but
 * requires `at`. Some proxies change an id in a path, so callers should prefer the first route.
 */
export function reportRoutes(deps: ReportDeps): FastifyPluginAsyncZod {
  const response = { 200: lastLogoutSchema, ...errorResponses }
  const config = { access: 'logout' } as const
  return async (app) => {
    app.post(
      '/v1/logouts',
      {
        config,
        schema: {
          summary: 'Reports a logout, which counts at once',
          tags: inGroup('Reports'),
          body: z.strictObject({
            user_id: idSchema,
            at: at
              .optional()
              .describe('When the logout happened. Default: now. Up to 60 s ahead counts as now'),
            session_id,
          }),
          response,
        },
      },
      ({ body }, reply) =>
        report(deps, reply, {
          userId: body.user_id,
          sessionId: body.session_id ?? null,
          at: body.at ?? null,
        }),
    )
    app.post(
      '/v1/users/:user_id/logout',
      {
        config,
        schema: {
          summary: 'The same as POST /v1/logouts. Some proxies do not pass every id in a path',
          tags: inGroup('Reports'),
          params: z.object({ user_id: idSchema }),
          body: z.strictObject({ at, session_id }),
          response,
        },
      },
      ({ params, body }, reply) =>
        report(deps, reply, {
          userId: params.user_id,
          sessionId: body.session_id ?? null,
          at: body.at,
        }),
    )
  }
}

/** Stores a reported logout. Returns the resulting last logout of the user. */
async function report(deps: ReportDeps, reply: FastifyReply, logout: Omit<ReportedLogout, 'type'>) {
  if ((await deps.storeReported({ ...logout, type: 'reported_logout' })) === null) {
    const message = 'body/at must not be more than 60 s ahead: synchronize the clock of the caller'
    return sendError(reply, 400, message)
  }
  return readLastLogout(deps, logout.userId, logout.sessionId)
}
