import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { toDateTime } from '../rules/instant.js'
import { judge } from '../rules/judge.js'
import { claimNames, readToken } from '../rules/token.js'
import type { ReadDeps } from './last-logout.js'
import { errorResponses, instantSchema } from './schemas.js'

const checkSchema = z.object({
  claims: z
    .record(z.string(), z.unknown())
    .describe("The token's claims. The caller has verified signature, issuer and audience"),
  namespace: z
    .string()
    .optional()
    .describe("Of the login Action's claims, where it is not the default (LAST_LOGOUT_NAMESPACE)"),
})

const verdictSchema = z.object({
  revoked: z.boolean(),
  reason: z.enum([
    'session_ended',
    'session_logout',
    'all_sessions_logout',
    'user_logout',
    'floor',
    'login_unknown',
    'no_logout',
    'login_after_logout',
    'machine_token',
  ]),
  last_logout_at: instantSchema.nullable().describe('The newest logout that covers the token'),
  login_at: instantSchema.nullable().describe("When the token's login happened"),
  as_of: instantSchema.nullable().describe('Logouts stored after it are not known yet'),
})

/** `POST /v1/check` */
export function checkRoute(deps: ReadDeps): FastifyPluginAsyncZod {
  return async (app) => {
    app.post(
      '/v1/check',
      {
        config: { access: 'check' },
        schema: {
          summary: 'Whether a token is from before the logout that covers it',
          body: checkSchema,
          response: { 200: verdictSchema, ...errorResponses },
        },
      },
      async ({ body }, reply) => {
        const token = readToken(body.claims, claimNames(body.namespace))
        if (token === null) {
          const message =
            'body/claims/sub must be the subject of the token: a string of 1 to 800 characters'
          return reply.code(400).send({ statusCode: 400, error: 'Bad Request', message })
        }
        const known = await deps.readKnown(token.subject, token.sessionId)
        const verdict = judge(token, known, { policy: deps.policy })
        return {
          revoked: verdict.revoked,
          reason: verdict.reason,
          last_logout_at: toDateTime(verdict.lastLogoutAt),
          login_at: toDateTime(verdict.loginAt),
          as_of: toDateTime(known.asOf),
        }
      },
    )
  }
}
