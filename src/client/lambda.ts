import type { Claims, LastLogoutClient } from './client.js'
import { toRefusal } from './refusal.js'
import { RejectedError } from './rejected-error.js'
import { assertClaims } from './verified-claims.js'

/** The part of the event of a REST API's authorizer (`TOKEN` or `REQUEST`) that is used; also of payload format 1.0. */
interface MethodEvent {
  methodArn: string
}

/** The part of the event of an HTTP API's authorizer with payload format 2.0 that is used. */
interface RouteEvent {
  routeArn: string
}

/** What an authorizer passes on to the integration, as `$context.authorizer`. */
export type AuthorizerContext = Record<string, string | number | boolean | undefined>

/** The result of a REST API's authorizer: an IAM policy. */
export interface PolicyResult {
  principalId: string
  policyDocument: {
    Version: '2012-10-17'
    Statement: { Action: 'execute-api:Invoke'; Effect: 'Allow'; Resource: string }[]
  }
  context: AuthorizerContext
}

/** The result of an HTTP API's authorizer with payload format 2.0 and simple responses. */
export interface SimpleResult {
  isAuthorized: true
  context: AuthorizerContext
}

/** The result that API Gateway expects for an event. */
export type AuthorizerResult<Event> = Event extends RouteEvent ? SimpleResult : PolicyResult

/** Options of the authorizer. */
export interface LambdaOptions {
  /** Returns what the authorizer passes on to the integration. Default: the claims `sub` and `scope`. */
  getContext?: (claims: Claims) => AuthorizerContext
}

/** The message of an error for which API Gateway responds with 401. For any other, it responds with 500. */
const UNAUTHORIZED = 'Unauthorized'

const PASS_CLAIMS = 'pass the claims that it has verified.'

/**
 * Creates the last step of a Lambda authorizer of API Gateway: it refuses revoked tokens. API Gateway must not cache the
 * results of the authorizer, since it accepts a revoked token for that time: set `authorizerResultTtlInSeconds` to 0. On
 * a REST API, the default is 300.
 *
 * @returns A function that takes the event and the verified claims of its token. It resolves to the result that API
 *   Gateway expects: an IAM policy for a REST API and for payload format 1.0, else the simple response of an HTTP API. To
 *   refuse the request, it rejects: with an error with the message `Unauthorized` for a revoked token, else with an error
 *   with the name `LastLogoutUnknownError`.
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
  // All methods of the stage: the policy is for this request only, and the ARN of a method may be too long for a policy.
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
