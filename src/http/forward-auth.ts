import { METHODS } from 'node:http'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { VerifiedClaims } from '../rules/verification.js'
import { inGroup } from './docs.js'
import { sendError } from './errors.js'
import { errorResponses } from './schemas.js'
import {
  audienceOf,
  type CheckedToken,
  clientIdOf,
  createTokenChecker,
  sendUnknown,
  type TokenCheckDeps,
} from './token-check.js'

const PATH = '/v1/forward-auth'

/** The header with which a gateway requires 200 instead of 204 as the status of success. Its only value is `200`. */
const SUCCESS_STATUS_HEADER = 'x-last-logout-success-status'

/** All methods: some gateways use the method of the user's request. Node.js passes `CONNECT` to no handler. */
const ORIGINAL_METHODS = METHODS.filter((method) => method !== 'CONNECT')

/**
 * `/v1/forward-auth`: decides whether a gateway may forward the request of a user. The gateway sends the headers of
 * this request without the body. It may use the same method, and append the path of the request (Envoy does both).
 */
export function forwardAuthRoutes(deps: TokenCheckDeps): FastifyPluginAsync {
  const check = createTokenChecker(deps)
  return async (app) => {
    for (const method of ORIGINAL_METHODS) {
      if (!app.supportedMethods.includes(method)) app.addHttpMethod(method)
    }
    const options = {
      config: { access: 'forward-auth' },
      onRequest: async (request: FastifyRequest, reply: FastifyReply) => {
        closeAfterBody(request, reply)
        await respond(request, reply, check)
        return reply
      },
      // Never called, because the hook responds. The hook runs before Fastify parses the body. A gateway can send
      // `Content-Type` without a body, and the parser would reject such a request.
      handler: async () => {},
    } as const
    const otherMethods = ORIGINAL_METHODS.filter((method) => method !== 'GET' && method !== 'HEAD')
    app.get(PATH, { ...options, schema: documentation })
    app.route({ ...options, method: otherMethods, url: PATH, schema: { hide: true } })
    app.route({ ...options, method: ORIGINAL_METHODS, url: `${PATH}/*`, schema: { hide: true } })
  }
}

const documentation = {
  tags: inGroup('Gateways'),
  summary:
    'Whether a gateway may forward a request: any method, and any path below. The token of the user is in Authorization, the key in X-Last-Logout-Key',
  security: [{ gateway_key: [] }],
  response: {
    200: z.null().describe('The same as 204, if X-Last-Logout-Success-Status is 200'),
    204: z.null().describe('The gateway may forward the request'),
    401: errorResponses[401].describe('The token is missing, invalid, or was revoked'),
    403: errorResponses[403].describe('The key is missing or unknown, or lacks the role'),
    429: errorResponses[429],
    503: errorResponses[503].describe(
      "It is unknown whether the token is valid: the tenant's signing keys or the database are unavailable, or the stored logouts are too old",
    ),
  },
}

/**
 * Closes the connection after the response if the request announces a body. nginx sends the `Content-Length` of the
 * user's request, but no body. Without the close, the next request on the connection would be read as the body.
 */
function closeAfterBody({ headers }: FastifyRequest, reply: FastifyReply): void {
  const { 'content-length': length = '0', 'transfer-encoding': encoding } = headers
  if (length !== '0' || encoding !== undefined) reply.header('connection', 'close')
}

async function respond(
  request: FastifyRequest,
  reply: FastifyReply,
  check: (accessToken: string, audience: string) => Promise<CheckedToken>,
): Promise<FastifyReply> {
  // The API behind the gateway could read another `Authorization` header than this function.
  if (countHeaders(request, 'authorization') > 1) return refuse(reply, SEVERAL_TOKENS)
  const { authorization = '', [SUCCESS_STATUS_HEADER]: successStatus } = request.headers
  const [, accessToken] = /^bearer +(\S+)$/i.exec(authorization) ?? []
  if (accessToken === undefined) return refuseWithoutToken(authorization, reply)
  const checked = await check(accessToken, audienceOf(request))
  if (checked.status === 'unknown') return sendUnknown(reply, checked)
  if (checked.status === 'refused') return refuse(reply, checked.description)
  // A token that is bound to a key must not be accepted as a bearer token (RFC 9449 §7.2, RFC 8705 §3).
  if (checked.claims.cnf !== undefined) return refuse(reply, BOUND_TOKEN)
  reply.headers(identityHeaders(checked.claims))
  return successStatus === '200' ? reply.code(200).send() : reply.code(204).send()
}

/** Counts the lines of a header. `request.headers` contains only the first line of some headers. */
function countHeaders({ raw }: FastifyRequest, name: string): number {
  // `rawHeaders` contains names at even indexes, and values at odd indexes.
  return raw.rawHeaders.filter((text, i) => i % 2 === 0 && text.toLowerCase() === name).length
}

const SEVERAL_TOKENS = 'the request has more than one Authorization header'
const BOUND_TOKEN = 'the token is bound to a key, which only the API itself can check'

function refuseWithoutToken(authorization: string, reply: FastifyReply): FastifyReply {
  if (/^dpop +\S/i.test(authorization)) return refuse(reply, BOUND_TOKEN)
  // Without a token, RFC 6750 §3.1 permits no error code.
  reply.header('www-authenticate', 'Bearer')
  return sendError(reply, 401, 'the token is missing: send `Authorization: Bearer <access token>`')
}

/** Refuses a token (RFC 6750 §3.1). */
function refuse(reply: FastifyReply, description: string): FastifyReply {
  reply.header(
    'www-authenticate',
    `Bearer error="invalid_token", error_description="${description}"`,
  )
  return sendError(reply, 401, description)
}

/**
 * Returns headers with the identity of the user, percent-encoded. A gateway copies them to the request. All headers are
 * always present, so that they replace headers of the same names from the user.
 */
function identityHeaders(claims: VerifiedClaims): Record<string, string> {
  const { sub, scope } = claims
  return {
    'x-last-logout-user': encode(sub),
    'x-last-logout-client': encode(clientIdOf(claims) ?? ''),
    'x-last-logout-scope': encode(typeof scope === 'string' ? scope : ''),
  }
}

/** Percent-encodes a text (RFC 3986 §2.1). Replaces lone surrogates, which cannot be encoded, with U+FFFD. */
function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed())
}
