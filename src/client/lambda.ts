import type { Claims, LastLogoutClient } from './client.js'
import { toRefusal } from './refusal.js'
import { RejectedError } from './rejected-error.js'
import { assertClaims } from './verified-claims.js'

/** The used part of the event for an authorizer of a REST API, or of an HTTP API with payload format 1.0. */
interface MethodEvent {
  methodArn: string
}

/** The used part of the event for an authorizer of an HTTP API with payload format 2.0. */
interface RouteEvent {
  routeArn: string
}

/** The values that an authorizer passes to the integration, as `$context.authorizer`. */
export type AuthorizerContext = Record<string, string | number | boolean | undefined>

/** The result of an authorizer of a REST API: an IAM policy. */
export interface PolicyResult {
  principalId: string
  policyDocument: {
    Version: '2012-10-17'
    Statement: { Action: 'execute-api:Invoke'; Effect: 'Allow'; Resource: string }[]
  }
  context: AuthorizerContext
}

/** The result of an authorizer of an HTTP API with payload format 2.0 and simple responses. */
export interface SimpleResult {
  isAuthorized: true
  context: AuthorizerContext
}

/** The result that API Gateway expects for an event. */
export type AuthorizerResult<Event> = Event extends RouteEvent ? SimpleResult : PolicyResult

/** Options of the authorizer. */
export interface LambdaOptions {
  /** Returns the values that the authorizer passes to the integration. Default: the claims `sub` and `scope`. */
  getContext?: (claims: Claims) => AuthorizerContext
}

/** For an error with this message, API Gateway responds with 401. For any other error, it responds with 500. */
const UNAUTHORIZED = 'Unauthorized'

const PASS_CLAIMS = 'pass the claims that the JWT library has verified.'

/**
 * Creates the last step of a Lambda authorizer of API Gateway: a function that refuses revoked tokens.
 *
 * Set `authorizerResultTtlInSeconds` to 0. The default for a REST API is 300. While API Gateway caches a result, it
 * accepts a revoked token.
 *
 * @returns A function that takes the event and the verified claims of its token. It resolves to the result that API
 *   Gateway expects: an IAM policy for a REST API and for payload format 1.0, else a simple response. To refuse a
 *   revoked token, it rejects with an error whose message is `Unauthorized`. If the revocation status is unknown, it
 *   rejects with an error whose name is `LastLogoutUnknownError`.
 * @example
 * const authorize = lastLogout(client)
 * export const handler = async (event) => authorize(event, await verify(event))
 */
export function lastLogout(
  client: LastLogoutClient,
  {
    getContext = ({ sub, scope }) => ({ sub: toText(sub), scope: toText(scope) }),
  }: LambdaOptions = {},
) {
  return async <Event extends MethodEvent | RouteEvent>(
    event: Event,
    verified: object,
  ): Promise<AuthorizerResult<Event>> => {
    const claims = assertClaims(verified, 'the second argument', PASS_CLAIMS)
    const refusal = toRefusal(await client.check(claims))
    if (refusal?.status === 401) {
      throw new Error(UNAUTHORIZED, { cause: new RejectedError(refusal) })
    }
    if (refusal !== null) throw new RejectedError(refusal)
    return toResult(event, claims, getContext(claims)) as AuthorizerResult<Event>
  }
}

function toResult(
  event: MethodEvent | RouteEvent,
  { sub }: Claims,
  context: AuthorizerContext,
): PolicyResult | SimpleResult {
  if ('routeArn' in event) return { isAuthorized: true, context }
  // The policy allows all methods of the stage, because the ARN of one method can be too long for a policy. Without a
  // cache, the policy applies only to this request.
  const Resource = `${event.methodArn.split('/', 2).join('/')}/*`
  const Statement = [{ Action: 'execute-api:Invoke' as const, Effect: 'Allow' as const, Resource }]
  return {
    principalId: toText(sub) ?? 'unknown',
    policyDocument: { Version: '2012-10-17', Statement },
    context,
  }
}

function toText(claim: unknown): string | undefined {
  return typeof claim === 'string' ? claim : undefined
}
