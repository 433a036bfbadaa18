import jwt, { type FastifyJWTOptions } from '@fastify/jwt'
import express, { type ErrorRequestHandler, type Request, type RequestHandler } from 'express'
import { type Request as ExpressJwtRequest, expressjwt } from 'express-jwt'
import { auth } from 'express-oauth2-jwt-bearer'
import Fastify, { type FastifyRequest, type preHandlerAsyncHookHandler } from 'fastify'
import auth0, { type FastifyAuth0VerifyOptions } from 'fastify-auth0-verify'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { lastLogout as forExpress, isRevoked } from '../../src/client/express.js'
import { lastLogout as forFastify } from '../../src/client/fastify.js'
import { lastLogout as forFetch } from '../../src/client/fetch.js'
import type { Claims, LastLogoutClient } from '../../src/client/index.js'
import { openClient } from '../_support/client.js'
import { type Issuer, ORDERS_AUDIENCE, openIssuer } from '../_support/issuer.js'
import { waitUntilListening } from '../_support/protected-server.js'
import { type ServedLogouts, serveLogouts } from '../_support/served-logouts.js'

let logouts: ServedLogouts
let issuer: Issuer
let client: LastLogoutClient
beforeAll(async () => {
  logouts = await serveLogouts()
  await logouts.logOut('auth0|out')
  issuer = await openIssuer()
  // With `deny`, a request is accepted only if the check has found no logout.
  client = openClient(logouts.url, { onUnknown: 'deny' })
  await client.ready()
})
afterAll(async () => {
  await Promise.all([client.close(), issuer.close()])
  await logouts.close()
})

/** Response of the protected server. */
interface ProtectedResponse {
  status: number
  text: string
}

/** Sends a request with a token of the user `sub`; `null`: without a token. */
async function call(url: string, sub: string | null): Promise<ProtectedResponse> {
  const iat = Math.floor(Date.now() / 1000) - 60
  const token = sub === null ? null : await issuer.sign({ sub, iat })
  const headers: Record<string, string> = token === null ? {} : { authorization: `Bearer ${token}` }
  const response = await fetch(url, { headers })
  return { status: response.status, text: await response.text() }
}

/** Starts an Express app with these handlers. Sends one request for each subject. */
async function callExpress(handlers: RequestHandler[], subjects: (string | null)[]) {
  const app = express()
  app.use(handlers)
  app.get('/', (_req, res) => void res.send('passed'))
  app.use(
    ((error, _req, res, _next) =>
      void res.status(error.status ?? 500).send(error.message)) as ErrorRequestHandler,
  )
  const server = await waitUntilListening(app.listen(0, '127.0.0.1'))
  const responses = await Promise.all(subjects.map((sub) => call(server.url, sub)))
  await server.close()
  return responses
}

/** The response if the adapter does not find the claims. The message recommends the option `getClaims`. */
const CLAIMS_ERROR = { status: 500, text: expect.stringContaining('getClaims') }
const statusesOf = (responses: ProtectedResponse[]) => responses.map(({ status }) => status)

describe('Express', () => {
  const verifyWithExpressJwt = (params = {}) =>
    expressjwt({ secret: issuer.publicPem, algorithms: ['RS256'], ...params })
  const tokenOptional = { credentialsRequired: false }

  test('the Express adapter fails after express-jwt, because express-jwt sets req.auth to the claims', async () => {
    const responses = await callExpress(
      [verifyWithExpressJwt(), forExpress(client)],
      ['auth0|out', 'auth0|in'],
    )
    expect(responses).toEqual([CLAIMS_ERROR, CLAIMS_ERROR])
  })

  test('without getClaims, the Express adapter that follows express-jwt accepts only a request without a token', async () => {
    const handlers = [
      verifyWithExpressJwt(tokenOptional),
      forExpress(client, { authRequired: false }),
    ]
    const responses = await callExpress(handlers, ['auth0|out', 'auth0|in', null])
    expect(responses).toEqual([CLAIMS_ERROR, CLAIMS_ERROR, { status: 200, text: 'passed' }])
  })

  test.each<[string, object]>([
    ['null', { auth: null }],
    ['an empty object', { auth: {} }],
    ['a payload that is text', { auth: { payload: 'text' } }],
    ['a payload that is null', { auth: { payload: null } }],
  ])(
    'the Express adapter fails if req.auth is %s, even if no token is required',
    async (_case, fields) => {
      const setFields: RequestHandler = (req, _res, next) => {
        Object.assign(req, fields)
        next()
      }
      const handlers = [setFields, forExpress(client, { authRequired: false })]
      expect(await callExpress(handlers, [null])).toEqual([CLAIMS_ERROR])
    },
  )

  test('the Express adapter reads the claims of express-jwt with getClaims', async () => {
    const getClaims = (req: ExpressJwtRequest) => req.auth
    const handlers = [verifyWithExpressJwt(), forExpress(client, { getClaims })]
    expect(statusesOf(await callExpress(handlers, ['auth0|out', 'auth0|in']))).toEqual([401, 200])
  })

  test('if getClaims returns undefined, the Express adapter accepts the request only if no token is required', async () => {
    const getClaims = (req: ExpressJwtRequest) => req.auth
    const handlers = (authRequired: boolean) => [
      verifyWithExpressJwt(tokenOptional),
      forExpress(client, { authRequired, getClaims }),
    ]
    expect(statusesOf(await callExpress(handlers(false), ['auth0|out', null]))).toEqual([401, 200])
    expect(await callExpress(handlers(true), [null])).toEqual([CLAIMS_ERROR])
  })

  test('the Express adapter fails if getClaims returns the decoded token of auth() instead of the payload', async () => {
    const verify = auth({ issuerBaseURL: issuer.url, audience: ORDERS_AUDIENCE })
    const guard = forExpress(client, { getClaims: (req: Request) => req.auth })
    const responses = await callExpress([verify, guard], ['auth0|out', 'auth0|in'])
    expect(responses).toEqual([CLAIMS_ERROR, CLAIMS_ERROR])
  })

  test('the Express adapter passes an error of getClaims to the error handler', async () => {
    const getClaims = () => {
      throw new Error('no such session')
    }
    const responses = await callExpress([forExpress(client, { getClaims })], [null])
    expect(responses).toEqual([{ status: 500, text: 'no such session' }])
  })

  test('by default, the Express adapter reads the claims of auth()', async () => {
    const verify = auth({
      issuerBaseURL: issuer.url,
      audience: ORDERS_AUDIENCE,
      authRequired: false,
    })
    const handlers = [verify, forExpress(client, { authRequired: false })]
    const responses = await callExpress(handlers, ['auth0|out', 'auth0|in', null])
    expect(statusesOf(responses)).toEqual([401, 200, 200])
  })

  test('the Express adapter passes an error to the error handler if another handler has already sent a response', async () => {
    // The adapter must call `next`, because Express 4 does not catch the rejected promise of a handler.
    const headersSent = new Error('headers have been sent')
    const response = {
      status: () => response,
      set() {
        throw headersSent
      },
      json: () => response,
    }
    const errors: unknown[] = []
    const iat = Math.floor(Date.now() / 1000) - 60
    const request = { auth: { payload: { sub: 'auth0|out', iat } } }
    await forExpress(client)(request, response, (error) => void errors.push(error))
    expect(errors).toEqual([headersSent])
  })

  test('the Express adapter fails if getClaims returns a promise', async () => {
    // With `allow`, a check of the promise itself would accept the request.
    const allowingClient = openClient(logouts.url, { onUnknown: 'allow' })
    const getClaims = async (req: Request) => req.auth?.payload
    const verify = auth({ issuerBaseURL: issuer.url, audience: ORDERS_AUDIENCE })
    const handlers = [verify, forExpress(allowingClient, { getClaims })]
    expect(await callExpress(handlers, ['auth0|out'])).toEqual([CLAIMS_ERROR])
    await allowingClient.close()
  })

  test.each([
    ['text', { payload: 'text' }],
    ['missing', undefined],
  ])('isRevoked throws a TypeError if the payload is %s', async (_case, token) => {
    await expect(isRevoked(client)({}, token)).rejects.toThrow(TypeError)
  })
})

describe('Fastify', () => {
  /**
   * Starts an app that verifies tokens with @fastify/jwt, and then runs the hook. Sends one request of a logged-out
   * user, and one of a logged-in user.
   */
  async function callFastify(
    jwtOptions: Partial<FastifyJWTOptions>,
    hook: preHandlerAsyncHookHandler,
  ): Promise<ProtectedResponse[]> {
    const app = Fastify()
    const secret = { public: issuer.publicPem }
    await app.register(jwt, {
      secret,
      verify: { algorithms: ['RS256'] },
      ...jwtOptions,
    } as FastifyJWTOptions)
    app.addHook('preHandler', async (request) => void (await request.jwtVerify()))
    app.addHook('preHandler', hook)
    return listenAndCall(app)
  }

  async function listenAndCall(app: ReturnType<typeof Fastify>): Promise<ProtectedResponse[]> {
    app.get('/', async () => 'passed')
    await app.listen({ host: '127.0.0.1', port: 0 })
    const { url } = await waitUntilListening(app.server)
    const responses = await Promise.all(['auth0|out', 'auth0|in'].map((sub) => call(url, sub)))
    await app.close()
    return responses
  }

  type User = { id: string; claims: Claims }
  /** An option of @fastify/jwt, which sets `request.user` to the result. */
  const formatUser = (claims: Claims) => ({ id: claims.sub, claims })

  test('the Fastify adapter accepts no request if formatUser has removed the claim sub', async () => {
    const responses = await callFastify({ formatUser } as object, forFastify(client))
    expect(statusesOf(responses)).toEqual([503, 503])
  })

  test('the Fastify adapter reads the claims from the result of formatUser with getClaims', async () => {
    const getClaims = (request: FastifyRequest) => (request.user as User).claims
    const hook = forFastify(client, { getClaims })
    const responses = await callFastify({ formatUser } as object, hook)
    expect(statusesOf(responses)).toEqual([401, 200])
  })

  test('with complete: true, fastify-auth0-verify sets request.user to the decoded token, whose payload the Fastify adapter reads only with getClaims', async () => {
    const callWithHook = async (hook: preHandlerAsyncHookHandler) => {
      const app = Fastify()
      const options = {
        domain: issuer.url,
        audience: ORDERS_AUDIENCE,
        issuer: issuer.url,
        complete: true,
      }
      await app.register(auth0, options as FastifyAuth0VerifyOptions)
      app.addHook('preHandler', app.authenticate)
      app.addHook('preHandler', hook)
      return listenAndCall(app)
    }
    expect(await callWithHook(forFastify(client))).toEqual([CLAIMS_ERROR, CLAIMS_ERROR])
    const getClaims = (request: { user?: unknown }) => (request.user as { payload: Claims }).payload
    expect(statusesOf(await callWithHook(forFastify(client, { getClaims })))).toEqual([401, 200])
  })
})

describe('a fetch-style server', () => {
  const claimsOf = (sub: string) => ({ sub, iat: Math.floor(Date.now() / 1000) - 60 })

  test('the fetch adapter reads the claims with getClaims', async () => {
    const check = forFetch(client, {
      getClaims: (context: Map<string, Claims>) => context.get('jwt'),
    })
    expect(await check(new Map([['jwt', claimsOf('auth0|in')]]))).toBeNull()
    expect((await check(new Map([['jwt', claimsOf('auth0|out')]])))?.status).toBe(401)
    await expect(check(new Map())).rejects.toThrow('getClaims')
  })

  test('the fetch adapter fails for values that are not claims', async () => {
    const check = forFetch(client)
    const decodedToken = { header: {}, payload: claimsOf('auth0|in'), signature: '' }
    for (const value of [undefined, null, 'eyJ', decodedToken]) {
      await expect(check(value as Claims)).rejects.toThrow('getClaims')
    }
  })
})
