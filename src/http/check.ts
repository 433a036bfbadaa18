import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { toDateTime } from '../rules/instant.js'
import { judge } from '../rules/judge.js'
import { isNamespace, NAMESPACE_RULE } from '../rules/namespace.js'
import { claimNames, isLoginUnreadable, readToken } from '../rules/token.js'
import { inGroup } from './docs.js'
import { sendError } from './errors.js'
import type { ReadDeps } from './last-logout.js'
import { errorResponses, instantSchema } from './schemas.js'

/** The body of a request that checks or explains a token. */
export const checkSchema = z.object({
  claims: z
    .record(z.string(), z.unknown())
    .describe(
      'The claims of the token, unchanged. The caller has verified signature, issuer and audience. ' +
        'The login is `authenticated_at` of the namespace, else `auth_time`, else `iat`: the first that is present, ' +
        'a NumericDate as a number or as a string of ten digits with an optional fraction',
    ),
  namespace: z
    .string()
    .refine(isNamespace, NAMESPACE_RULE)
    .optional()
    .describe("Namespace of the login Action's claims (LAST_LOGOUT_NAMESPACE), if not the default"),
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
  login_at: instantSchema.nullable().describe('When the login of the token happened'),
  as_of: instantSchema.nullable().describe('Logouts stored after this instant are not known yet'),
})

/** `POST /v1/check`: decides whether a token is revoked. */
export function checkRoute(deps: ReadDeps): FastifyPluginAsyncZod {
  return async (app) => {
    app.post(
      '/v1/check',
      {
        config: { access: 'check' },
        schema: {
          summary: 'Decides whether a token is revoked',
          tags: inGroup('Checks'),
          body: checkSchema,
          response: {
            200: verdictSchema,
            ...errorResponses,
            400: errorResponses[400].describe(
              'The request is invalid, or `sub` or the login claim cannot be read',
            ),
          },
        },
      },
      async ({ body }, reply) => {
        const token = readToken(body.claims, claimNames(body.namespace))
        if (token.subject === null) {
          return sendError(reply, 400, 'body/claims/sub must be a string of 1 to 800 characters')
        }
        if (isLoginUnreadable(token)) {
          const message = `body/claims/${token.loginClaim} must be a NumericDate: seconds since the epoch, as a number or as a string of ten digits`
          return sendError(reply, 400, message)
        }
        const snapshot = await deps.readKnownLogouts(token.subject, token.sessionId)
        const verdict = judge(token, snapshot, { policy: deps.policy })
        return {
          revoked: verdict.revoked,
          reason: verdict.reason,
          last_logout_at: toDateTime(verdict.lastLogoutAt),
          login_at: toDateTime(verdict.loginAt),
          as_of: toDateTime(snapshot.asOf),
        }
      },
    )
  }
}
