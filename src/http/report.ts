import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import type { ReportedLogout } from '../ports.js'
import type { Instant } from '../rules/instant.js'
import { lastLogoutSchema, type ReadDeps, readLastLogout } from './last-logout.js'
import { dateTimeSchema, errorResponses, idSchema } from './schemas.js'

/** What a report is stored by. */
export interface ReportDeps extends ReadDeps {
  storeReported(logout: ReportedLogout): Promise<Instant | null>
}

const reportSchema = z.strictObject({
  at: dateTimeSchema.describe('When; up to 60 s ahead is taken as now'),
  session_id: idSchema.optional().describe('Without: all sessions of the user'),
})

/** `POST /v1/users/{user_id}/logout`: an application reports its own logout. */
export function reportRoute(deps: ReportDeps): FastifyPluginAsyncZod {
  return async (app) => {
    app.post(
      '/v1/users/:user_id/logout',
      {
        config: { access: 'logout' },
        schema: {
          summary: 'Reports a logout, to count at once',
          params: z.object({ user_id: idSchema }),
          body: reportSchema,
          response: { 200: lastLogoutSchema, ...errorResponses },
        },
      },
      async ({ params, body }, reply) => {
        const { user_id: userId } = params
        const { at, session_id: sessionId = null } = body
        const report = { userId, sessionId, at, type: 'reported_logout' }
        if ((await deps.storeReported(report)) === null) {
          const message = 'body/at must not be more than 60 s ahead: check the clock of the caller'
          return reply.code(400).send({ statusCode: 400, error: 'Bad Request', message })
        }
        return readLastLogout(deps, userId, sessionId)
      },
    )
  }
}
