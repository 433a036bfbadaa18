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
  /**
   * `false` accepts requests without a token. An HTTP request with a token is always checked. Without HTTP, a request has
   * no token if `getClaims` returns none. Default `true`.
   */
  authRequired?: boolean
  /**
   * Returns the verified claims of a request; `undefined` or `null` if it has no token. Default: `request.user`, as a guard
   * of `@nestjs/passport` sets it. Required for GraphQL and microservices, which have no such request.
   */
  getClaims?: (context: ExecutionContext) => object | null | undefined
}

/** The part of a request of Express and Fastify that is used. */
interface RequestLike {
  user?: unknown
  headers?: { authorization?: string | undefined }
}

/** The part of a response of Express and of a reply of Fastify that is used. */
interface ResponseLike {
  header(name: string, value: string): unknown
}

/**
 * A guard that refuses revoked tokens. It runs after the guard that verifies the token. It throws refusals as
 * `UnauthorizedException` or `ServiceUnavailableException`, so that exception filters get them, and sets their headers on
 * the response. It throws a `TypeError` if a request has no verified claims, so that no request bypasses the check.
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

// The decorators as functions: the syntax of Nest's parameter decorators would need a compiler option.
Injectable()(LastLogoutGuard)
Inject(LAST_LOGOUT_CLIENT)(LastLogoutGuard, undefined, 0)
Inject(LAST_LOGOUT_OPTIONS)(LastLogoutGuard, undefined, 1)
Optional()(LastLogoutGuard, undefined, 1)

/**
 * Returns `undefined` if no user is authenticated: Passport leaves `undefined`, `null` or `false`. Without HTTP, as in
 * GraphQL, returns `false`, for which the check throws a `TypeError`: only `getClaims` knows where the user is.
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
