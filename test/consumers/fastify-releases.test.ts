import Fastify, { type FastifyInstance, type preHandlerAsyncHookHandler } from 'fastify'
import { beforeEach, describe, expect, test } from 'vitest'
import { lastLogout } from '../../src/client/fastify.js'
import type { LastLogoutClient } from '../../src/client/index.js'
import { openFakeClient } from '../_support/fake-service.js'
import { requireInstalled } from '../_support/installed.js'

let client: LastLogoutClient
beforeEach(async () => {
  client = await openFakeClient()
})

const FASTIFY: [name: string, load: () => () => FastifyInstance][] = [
  ['Fastify 4', () => requireInstalled('fastify-4')],
  ['Fastify 5', () => Fastify],
]

describe.each(FASTIFY)('%s', (_case, loadFastify) => {
  /** Adds a protected route to an app, and requests the route with the claims of a logged-out user. */
  async function call(app: FastifyInstance, schema = {}) {
    const claims = { sub: 'auth0|out', iat: Math.floor(Date.now() / 1000) - 60 }
    const guard = lastLogout(client, { getClaims: () => claims }) as preHandlerAsyncHookHandler
    app.get('/', { preHandler: guard, schema: { response: schema } }, async () => ({}))
    const { statusCode, headers, payload } = await app.inject('/')
    await app.close()
    const challenge = headers['www-authenticate']
    expect(headers['content-type']).toBe('application/json; charset=utf-8')
    return { status: statusCode, challenge, body: JSON.parse(payload) }
  }
  const REVOKED_CHALLENGE = expect.stringMatching(/^Bearer error="invalid_token"/)

  test('the hook passes a refusal to the error handler of the app', async () => {
    const app = loadFastify()()
    app.setErrorHandler((error: Error & { statusCode: number; code: string }, _request, reply) =>
      reply.code(error.statusCode).send({ problem: error.code }),
    )
    const body = { problem: 'invalid_token' }
    expect(await call(app)).toEqual({ status: 401, challenge: REVOKED_CHALLENGE, body })
  })

  test('the hook sends the response if the app has no error handler, even if the schema does not allow the body', async () => {
    const body = expect.objectContaining({ error: 'invalid_token' })
    expect(await call(loadFastify()())).toEqual({ status: 401, challenge: REVOKED_CHALLENGE, body })
    const strictSchema = { type: 'object', required: ['problem'], properties: {} }
    const optionalSchema = { type: 'object', properties: { problem: { type: 'string' } } }
    for (const schema of [strictSchema, optionalSchema]) {
      expect(await call(loadFastify()(), { 401: schema })).toEqual({
        status: 401,
        challenge: REVOKED_CHALLENGE,
        body,
      })
    }
  })

  test('the refusal is JSON, even if a hook has set another content type', async () => {
    const app = loadFastify()()
    app.addHook('onRequest', async (_request, reply) => {
      reply.type('text/event-stream')
    })
    const body = expect.objectContaining({ error: 'invalid_token' })
    expect(await call(app)).toEqual({ status: 401, challenge: REVOKED_CHALLENGE, body })
  })
})
