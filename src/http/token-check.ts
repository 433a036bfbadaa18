import type { FastifyReply, FastifyRequest } from 'fastify'
import { isMachine, readToken } from '../rules/token.js'
import { determineStatus } from '../rules/token-status.js'
import type { TokenVerifier, VerifiedClaims } from '../rules/verification.js'
import { sendError } from './errors.js'
import type { ReadDeps } from './last-logout.js'

/** Dependencies of the routes for gateways. */
export interface TokenCheckDeps extends ReadDeps {
  verifier: Pick<TokenVerifier, 'verifyAccessToken'>
}

/** The result of checking an access token. `description` is part of a response header, so it must be ASCII. */
export type CheckedToken =
  | { status: 'active'; claims: VerifiedClaims }
  | { status: 'refused'; description: string }
  | { status: 'unknown'; description: string; retryAfterSeconds: number }

/** `Retry-After` while the logouts are stale, in seconds. */
const STALE_RETRY_SECONDS = 5

/**
 * Creates a function that verifies an access token for an audience, and checks whether a logout has revoked the token.
 */
export function createTokenChecker({ verifier, readKnownLogouts, policy }: TokenCheckDeps) {
  return async (accessToken: string, audience: string): Promise<CheckedToken> => {
    const verification = await verifier.verifyAccessToken(accessToken, audience)
    if (verification.outcome === 'invalid') {
      return { status: 'refused', description: verification.reason }
    }
    if (verification.outcome === 'unknown') {
      const retryAfterSeconds = Math.ceil(verification.retryAfterMs / 1000)
      return { status: 'unknown', description: 'the keys are unavailable', retryAfterSeconds }
    }
    const { claims } = verification
    const token = readToken(claims)
    if (token.subject === null) {
      return { status: 'refused', description: 'the claim sub of the token is not accepted' }
    }
    // A logout never revokes a machine token, so the database is not needed.
    if (isMachine(token.subject)) return { status: 'active', claims }
    const snapshot = await readKnownLogouts(token.subject, token.sessionId)
    switch (determineStatus(token, snapshot, policy)) {
      case 'active':
        return { status: 'active', claims }
      case 'revoked':
        return { status: 'refused', description: 'the token was revoked by a logout' }
      case 'unknown':
        return {
          status: 'unknown',
          description: 'the revocation status of the token is unavailable',
          retryAfterSeconds: STALE_RETRY_SECONDS,
        }
    }
  }
}

/** Returns the audience of the key of a request. Every key of a gateway has an audience. */
export function audienceOf({ caller }: FastifyRequest): string {
  if (caller?.audience === undefined) throw new TypeError('The key of a gateway has no audience.')
  return caller.audience
}

/** Returns the client for which a token was issued: `client_id` of RFC 9068, else `azp` of Auth0's default profile. */
export function clientIdOf({ client_id, azp }: VerifiedClaims): string | undefined {
  const clientId = client_id ?? azp
  return typeof clientId === 'string' ? clientId : undefined
}

/** Sends a 503 for a token whose status is unknown. */
export function sendUnknown(
  reply: FastifyReply,
  { description, retryAfterSeconds }: Extract<CheckedToken, { status: 'unknown' }>,
): FastifyReply {
  reply.header('retry-after', `${retryAfterSeconds}`)
  return sendError(reply, 503, `${description}: retry later`)
}
