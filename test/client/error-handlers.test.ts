import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express'
import Fastify, { type FastifyInstance, type preHandlerAsyncHookHandler } from 'fastify'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { lastLogout as forExpress, isRevoked } from '../../src/client/express.js'
import { lastLogout as forFastify } from '../../src/client/fastify.js'
import { lastLogout as forFetch } from '../../src/client/fetch.js'
import type { LastLogoutClient } from '../../src/client/index.js'
import { openClient } from '../_support/client.js'
import { openFakeClient } from '../_support/fake-service.js'
import { waitUntilListening } from '../_support/protected-server.js'
import { REVOKED_CHALLENGE, REVOKED_DESCRIPTION } from '../_support/revoked.js'

const UNREACHABLE_URL = 'http://127.0.0.1:1'
const REVOKED_BODY = { error: 'invalid_token', error_description: REVOKED_DESCRIPTION }
const UNKNOWN_BODY = {
  error: 'temporarily_unavailable',
  error_description: 'the revocation status of the token is unavailable',
}

/** Claims whose type is an interface, which has no index signature. */
interface AccessToken {
  sub: string
  iat: number
  cnf?: { jkt: string }
}
const claims: AccessToken = { sub: 'auth0|out', iat: Math.floor(Date.now() / 1000) - 60 }

let client: LastLogoutClient
let disconnectedClient: LastLogoutClient
beforeEach(async () => {
  client = await openFakeClient()
  disconnectedClient = openClient(UNREACHABLE_URL, { lookup: 'request' })
})

/** The parts of a response that a caller receives for a refused request. */
interface RefusedResponse {
  status: number
  challenge: string | null
  retryAfter: string | null
  body: unknown
}

async function readResponse(response: Response): Promise<RefusedResponse> {
  const { status, headers } = response
  const challenge = headers.get('www-authenticate')
  return { status, challenge, retryAfter: headers.get('retry-after'), body: await response.json() }
}

const BEARER = { authorization: 'Bearer x' }
const DPOP = { authorization: 'DPoP x' }

describe('Express', () => {
  /** Sets the claims of a logged-out user, like a JWT library. */
  const setClaims: RequestHandler = (req, _res, next) => {
    Object.assign(req, { auth: { payload: claims } })
    next()
  }
  /** Responds with the fields of the error. The status 418 shows that this handler has responded. */
  const respondWithError: ErrorRequestHandler = (error, _req, res, _next) => {
    const { name, code, status, statusCode, headers, message } = error
    res.status(418).json({ name, code, status, statusCode, headers, message })
  }
  const protect = (target: { use(...handlers: RequestHandler[]): unknown }, usedClient = client) =>
    target.use(setClaims, forExpress(usedClient) as RequestHandler)

  async function call(app: Express, headers: Record<string, string> = BEARER) {
    const server = await waitUntilListening(app.listen(0, '127.0.0.1'))
    onTestFinished(() => server.close())
    return readResponse(await fetch(server.url, { headers }))
  }

  const revokedError = {
    name: 'UnauthorizedError',
    code: 'invalid_token',
    status: 401,
    statusCode: 401,
    headers: { 'WWW-Authenticate': REVOKED_CHALLENGE },
    message: REVOKED_BODY.error_description,
  }

  test('the Express adapter passes a refusal to the error handler of the app', async () => {
    const app = express()
    protect(app)
    app.use(respondWithError)
    expect(await call(app)).toMatchObject({ status: 418, body: revokedError })
  })

  test('the Express adapter passes an unknown revocation status to the error handler of the app', async () => {
    const app = express()
    protect(app, disconnectedClient)
    app.use(respondWithError)
    expect(await call(app)).toMatchObject({
      body: {
        code: 'temporarily_unavailable',
        status: 503,
        statusCode: 503,
        headers: { 'Retry-After': '5' },
      },
    })
  })

  test('the Express adapter sets the challenge even if the error handler ignores the headers of the error', async () => {
    const app = express()
    protect(app)
    app.use(
      ((error, _req, res, _next) =>
        void res.status(error.status).json({ problem: error.message })) as ErrorRequestHandler,
    )
    expect(await call(app)).toEqual({
      status: 401,
      challenge: REVOKED_CHALLENGE,
      retryAfter: null,
      body: { problem: REVOKED_BODY.error_description },
    })
  })

  test.each<[string, (app: Express) => void]>([
    [
      'a router',
      (app) => {
        const router = express.Router()
        protect(router)
        router.use(respondWithError)
        app.use(router)
      },
    ],
    [
      'a route',
      (app) => void app.get('/', setClaims, forExpress(client) as RequestHandler, respondWithError),
    ],
    [
      'the app on which the protected app is mounted',
      (app) => {
        const mounted = express()
        protect(mounted)
        app.use('/', mounted)
        app.use(respondWithError)
      },
    ],
  ])(
    'the Express adapter passes a refusal to an error handler of %s',
    async (_case, protectApp) => {
      const app = express()
      protectApp(app)
      expect(await call(app)).toMatchObject({ status: 418, body: revokedError })
    },
  )

  test('the Express adapter sends the response if the app has no error handler', async () => {
    const app = express()
    protect(app)
    expect(await call(app)).toEqual({
      status: 401,
      challenge: REVOKED_CHALLENGE,
      retryAfter: null,
      body: REVOKED_BODY,
    })
    const appOfDisconnectedClient = express()
    protect(appOfDisconnectedClient, disconnectedClient)
    expect(await call(appOfDisconnectedClient)).toEqual({
      status: 503,
      challenge: null,
      retryAfter: '5',
      body: UNKNOWN_BODY,
    })
  })

  test('the Express adapter sends a DPoP challenge if the request used DPoP', async () => {
    const app = express()
    protect(app)
    expect((await call(app, DPOP)).challenge).toBe(REVOKED_CHALLENGE.replace('Bearer', 'DPoP'))
    await expect(isRevoked(client)({ headers: DPOP }, { payload: claims })).rejects.toMatchObject({
      code: 'revoked_token',
      statusCode: 401,
      headers: { 'WWW-Authenticate': expect.stringMatching(/^DPoP /) },
    })
  })
})

describe('Fastify', () => {
  /** Creates a hook that sets the claims of a logged-out user, and then runs the adapter. */
  const createHook = (usedClient = client) => {
    const check = forFastify(usedClient)
    return (async (request, reply) => {
      Object.assign(request, { user: claims })
      return check(request, reply)
    }) as preHandlerAsyncHookHandler
  }
  const addRoute = (app: FastifyInstance, schema = {}, usedClient = client) =>
    app.get(
      '/',
      { preHandler: createHook(usedClient), schema: { response: schema } },
      async () => ({}),
    )

  async function call(app: FastifyInstance, headers: Record<string, string> = BEARER) {
    const {
      statusCode,
      headers: responseHeaders,
      payload,
    } = await app.inject({ url: '/', headers })
    await app.close()
    return {
      status: statusCode,
      challenge: responseHeaders['www-authenticate'] ?? null,
      retryAfter: responseHeaders['retry-after'] ?? null,
      body: JSON.parse(payload),
    }
  }

  test('the Fastify adapter passes a refusal to the error handler of the app', async () => {
    const app = Fastify()
    app.setErrorHandler((error: Error & Record<string, unknown>, _request, reply) => {
      const { code, status, statusCode, headers, message } = error
      return reply.code(418).send({ code, status, statusCode, headers, message })
    })
    addRoute(app)
    expect(await call(app)).toEqual({
      status: 418,
      // The adapter also sets the header, because this error handler ignores the headers of the error.
      challenge: REVOKED_CHALLENGE,
      retryAfter: null,
      body: {
        code: 'invalid_token',
        status: 401,
        statusCode: 401,
        headers: { 'WWW-Authenticate': REVOKED_CHALLENGE },
        message: REVOKED_BODY.error_description,
      },
    })
  })

  test('the Fastify adapter passes a refusal to the error handler of a plugin only for routes of the plugin', async () => {
    const app = Fastify()
    await app.register(async (plugin) => {
      plugin.setErrorHandler((_error, _request, reply) => reply.code(418).send({}))
      plugin.get('/inside', { preHandler: createHook() }, async () => ({}))
    })
    addRoute(app)
    expect((await app.inject('/inside')).statusCode).toBe(418)
    expect(await call(app)).toMatchObject({ status: 401, body: REVOKED_BODY })
  })

  test('the Fastify adapter sends the response if the app has no error handler', async () => {
    const app = Fastify()
    addRoute(app)
    expect(await call(app)).toEqual({
      status: 401,
      challenge: REVOKED_CHALLENGE,
      retryAfter: null,
      body: REVOKED_BODY,
    })
    const appOfDisconnectedClient = Fastify()
    addRoute(appOfDisconnectedClient, {}, disconnectedClient)
    expect(await call(appOfDisconnectedClient)).toEqual({
      status: 503,
      challenge: null,
      retryAfter: '5',
      body: UNKNOWN_BODY,
    })
  })

  const textSchema = { type: 'string' }
  /** A schema that does not allow the body of a refusal. */
  const strictSchema = {
    type: 'object',
    required: ['statusCode', 'problem'],
    properties: { statusCode: { type: 'integer' }, problem: textSchema },
    additionalProperties: false,
  }

  test('the Fastify adapter sends its body even if the response schema of the route does not allow the body', async () => {
    for (const status of ['401', '4xx']) {
      const app = Fastify()
      addRoute(app, { [status]: strictSchema })
      expect(await call(app)).toMatchObject({
        status: 401,
        challenge: REVOKED_CHALLENGE,
        body: REVOKED_BODY,
      })
    }
    const appOfDisconnectedClient = Fastify()
    addRoute(appOfDisconnectedClient, { 503: strictSchema }, disconnectedClient)
    expect(await call(appOfDisconnectedClient)).toMatchObject({
      status: 503,
      retryAfter: '5',
      body: UNKNOWN_BODY,
    })
  })

  test('the Fastify adapter applies the response schema of the route if the schema allows its body', async () => {
    const app = Fastify()
    addRoute(app, { 401: { type: 'object', properties: { error: textSchema } } })
    expect(await call(app)).toMatchObject({ status: 401, body: { error: 'invalid_token' } })
  })

  test('the Fastify adapter sends a DPoP challenge if the request used DPoP', async () => {
    const app = Fastify()
    addRoute(app)
    expect((await call(app, DPOP)).challenge).toBe(REVOKED_CHALLENGE.replace('Bearer', 'DPoP'))
  })
})

describe('a fetch-style server', () => {
  const challengeOf = async (token: AccessToken) =>
    (await forFetch(client)(token))?.headers.get('www-authenticate')

  test('the fetch adapter sends a DPoP challenge if the token is bound to a DPoP key', async () => {
    expect(await challengeOf(claims)).toBe(REVOKED_CHALLENGE)
    // `jkt` is the thumbprint of the DPoP key.
    const boundToken = { ...claims, cnf: { jkt: '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I' } }
    expect(await challengeOf(boundToken)).toBe(REVOKED_CHALLENGE.replace('Bearer', 'DPoP'))
  })
})

test('a check accepts claims whose type is an interface', async () => {
  expect((await client.check(claims)).outcome).toBe('revoked')
  expect(client.checkNow(claims).outcome).toBe('revoked')
})
