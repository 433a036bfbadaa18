import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import type { VerifiedClaims } from '../rules/verification.js'
import { inGroup } from './docs.js'
import { acceptForms, FORM } from './form-body.js'
import { errorResponses } from './schemas.js'
import {
  audienceOf,
  clientIdOf,
  createTokenChecker,
  sendUnknown,
  type TokenCheckDeps,
} from './token-check.js'

/**
 * Upper bound of `exp` in a response, in seconds from now. Some resource servers cache a response until its `exp`, in
 * spite of `Cache-Control`. During this time, they accept the token even if it is revoked.
 */
const MAX_EXP_SECONDS = 10

const introspectionSchema = z.looseObject({
  active: z.boolean().describe('False if the token is invalid, has expired, or was revoked'),
  exp: z
    .number()
    .optional()
    .describe(`At most ${MAX_EXP_SECONDS} s after now: do not cache a response for longer`),
  client_id: z.string().optional().describe('The client for which the token was issued'),
  token_type: z.enum(['Bearer', 'DPoP']).optional(),
})

/** `POST /v1/introspect`: whether an access token is active (RFC 7662). The audience is that of the caller's API key. */
export function introspectRoute(deps: TokenCheckDeps): FastifyPluginAsyncZod {
  const check = createTokenChecker(deps)
  return async (app) => {
    acceptForms(app)
    app.post(
      '/v1/introspect',
      {
        config: { access: 'introspect' },
        schema: {
          tags: inGroup('Gateways'),
          summary:
            "Whether an access token is active (RFC 7662). For an active token, the response also contains the token's claims",
          consumes: [FORM],
          body: z.object({ token: z.string().min(1), token_type_hint: z.string().optional() }),
          response: {
            200: introspectionSchema,
            ...errorResponses,
            503: errorResponses[503].describe(
              "It is unknown whether the token is active: the tenant's signing keys or the database are unavailable, or the stored logouts are too old",
            ),
          },
        },
      },
      async (request, reply) => {
        const checked = await check(request.body.token, audienceOf(request))
        if (checked.status === 'unknown') return sendUnknown(reply, checked)
        return checked.status === 'active' ? describeToken(checked.claims) : { active: false }
      },
    )
  }
}

/** Describes an active token by its claims (RFC 7662 §2.2). */
function describeToken(claims: VerifiedClaims) {
  const now = Math.floor(Date.now() / 1000)
  const { cnf } = claims
  // The claim `cnf` stays in the response: with it, the resource server checks the DPoP proof (RFC 9449 §6.2).
  const isDpop = typeof cnf === 'object' && cnf !== null && 'jkt' in cnf
  return {
    ...claims,
    active: true,
    exp: Math.min(claims.exp, now + MAX_EXP_SECONDS),
    client_id: clientIdOf(claims),
    token_type: isDpop ? ('DPoP' as const) : ('Bearer' as const),
  }
}
