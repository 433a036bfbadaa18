import {
  type CanActivate,
  type ExecutionContext,
  Inject,
  Injectable,
  Optional,
  ServiceUnavailableException,
  UnauthorizedException,
} from '@nestjs/common'
import { checkRequest } from './check-request.js'
import type { LastLogoutClient } from './client.js'
import type { Refusal } from './refusal.js'
import { RejectedError } from './rejected-error.js'

/** Injection token of the client that `LastLogoutGuard` uses. */
export const LAST_LOGOUT_CLIENT = 'LAST_LOGOUT_CLIENT'

/** Injection token of the options of `LastLogoutGuard`. Optional. */
export const LAST_LOGOUT_OPTIONS = 'LAST_LOGOUT_OPTIONS'

/** Options of the guard. */
export interface LastLogoutGuardOptions {
  /** `false` accepts requests without a token. An HTTP request with a token is always checked. Default `true`. */
  authRequired?: boolean
  /**
   * Returns the verified claims of a request; `undefined` or `null` if the request has no token. Default:
   * `request.user`, which a guard of `@nestjs/passport` sets. Required for GraphQL and microservices.
   */
  getClaims?: (context: ExecutionContext) => object | null | undefined
}

/** The used part of an Express or Fastify request. */
interface RequestLike {
  user?: unknown
  headers?: { authorization?: string | undefined }
}

/** The used part of an Express response or a Fastify reply. */
interface ResponseLike {
  header(name: string, value: string): unknown
}

/**
 * A guard that refuses revoked tokens. It runs after the guard that verifies the token.
 *
 * - The guard throws each refusal as `UnauthorizedException` or `ServiceUnavailableException`, so that exception
 *   filters receive it. The guard also sets the headers of the response.
 * - If a request has no verified claims, the guard throws a `TypeError`, so that no request bypasses the check.
 *
 * @example
 * UseGuards(AuthGuard('jwt'), new LastLogoutGuard(client))
 * providers: [
 *   { provide: LAST_LOGOUT_CLIENT, useValue: client },
 *   { provide: APP_GUARD, useClass: AuthGuard('jwt') },
 *   { provide: APP_GUARD, useClass: LastLogoutGuard },
 * ]
 */
export class LastLogoutGuard implements CanActivate {
  readonly #client: LastLogoutClient
  readonly #authRequired: boolean
  readonly #getClaims: LastLogoutGuardOptions['getClaims']

  constructor(client: LastLogoutClient, options: LastLogoutGuardOptions = {}) {
    this.#client = client
    this.#authRequired = options.authRequired ?? true
    this.#getClaims = options.getClaims
  }

  /**
   * Checks the token of a request.
   *
   * @throws `HttpException` with status 401 or 503 to refuse the request.
   */
  async canActivate(context: ExecutionContext): Promise<boolean> {
    const http = context.getType() === 'http' ? context.switchToHttp() : null
    const request = http?.getRequest<RequestLike>()
    const refusal = await checkRequest(this.#client, {
      claims: this.#getClaims ? this.#getClaims(context) : readUser(request),
      source: this.#getClaims ? 'the result of getClaims' : 'request.user',
      authorization: request?.headers?.authorization,
      authRequired: this.#authRequired,
    })
    if (refusal === null) return true
    throw toException(refusal, http?.getResponse<ResponseLike>())
  }
}

// The decorators are called as functions, because the syntax of parameter decorators requires a compiler option.
Injectable()(LastLogoutGuard)
Inject(LAST_LOGOUT_CLIENT)(LastLogoutGuard, undefined, 0)
Inject(LAST_LOGOUT_OPTIONS)(LastLogoutGuard, undefined, 1)
Optional()(LastLogoutGuard, undefined, 1)

/**
 * Returns the claims that Passport has set, or `undefined` if it has set `undefined`, `null` or `false`. Without HTTP,
 * as in GraphQL, returns `false`, so that the check throws a `TypeError`: the option `getClaims` is missing.
 */
function readUser(request: RequestLike | undefined): unknown {
  return request === undefined ? false : request.user || undefined
}

function toException(refusal: Refusal, response: ResponseLike | undefined) {
  const { status, headers, body } = refusal
  for (const [name, value] of Object.entries(headers)) response?.header(name, value)
  const Exception = status === 401 ? UnauthorizedException : ServiceUnavailableException
  return new Exception(body, { cause: new RejectedError(refusal) })
}
