import type { FastifyReply } from 'fastify'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import type { ReportedLogout } from '../ports.js'
import type { Instant } from '../rules/instant.js'
import { sendError } from './errors.js'
import { lastLogoutSchema, type ReadDeps, readLastLogout } from './last-logout.js'
import { dateTimeSchema, errorResponses, idSchema } from './schemas.js'

/** What a report is stored by. */
export interface ReportDeps extends ReadDeps {
  storeReported(logout: ReportedLogout): Promise<Instant | null>
}

const at = dateTimeSchema.describe('When; up to 60 s ahead is taken as now')
const session_id = idSchema.optional().describe('Without: all sessions of the user')

/**
 * `POST /v1/logouts`: an application reports its own logout. The same by path as
 * `POST /v1/users/{user_id}/logout`, where `at` is required and the id has to survive each proxy.
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
          summary: 'Reports a logout, to count at once',
          body: z.strictObject({
            user_id: idSchema,
            at: at.optional().describe('When; by default, and up to 60 s ahead, now'),
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
          summary: 'The same as `POST /v1/logouts`; not every proxy passes every id in a path',
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

/** Stores a report, and responds with the state after it. */
async function report(deps: ReportDeps, reply: FastifyReply, logout: Omit<ReportedLogout, 'type'>) {
  if ((await deps.storeReported({ ...logout, type: 'reported_logout' })) === null) {
    const message = 'body/at must not be more than 60 s ahead: check the clock of the caller'
    return sendError(reply, 400, message)
  }
  return readLastLogout(deps, logout.userId, logout.sessionId)
}
