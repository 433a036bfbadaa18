import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { settleWithin } from '../../src/client/settle-within.js'
import { openClient } from '../_support/client.js'
import { openFakeServer } from '../_support/fake-server.js'
import { openFakeService } from '../_support/fake-service.js'

const claims = { sub: 'auth0|1', iat: Math.floor(Date.now() / 1000) - 60 }

describe("a client with lookup: 'request'", () => {
  test('the client sends no request for a machine token', async () => {
    const service = await openFakeService()
    const client = openClient(service.url, { lookup: 'request' })
    const machineClaims = { sub: 'orders@clients', iat: claims.iat, gty: 'client-credentials' }
    const decision = await client.check(machineClaims)
    expect(decision).toMatchObject({ allowed: true, reason: 'machine_token' })
    expect(client.checkNow(machineClaims).reason).toBe('machine_token')
    expect(service.requestedUrls).toEqual([])
  })

  test('two concurrent checks send a request each, because a serverless runtime may stop a request when the invocation that started it ends', async () => {
    const service = await openFakeServer(() => null)
    const client = openClient(service.url, { lookup: 'request', timeoutMs: 300 })
    // The service does not respond, so both checks run at the same time.
    await Promise.all([client.check(claims), client.check(claims)])
    expect(service.requestedUrls).toHaveLength(2)
  })

  test('the client does not follow a redirect, so that no other host receives the key', async () => {
    const target = await openFakeServer(() => [200, '{}'])
    const server = createServer((_request, response) => {
      response.writeHead(307, { location: `${target.url}/v1/last-logout` }).end()
    }).listen(0, '127.0.0.1')
    onTestFinished(() => void server.close())
    await once(server, 'listening')
    const errors: unknown[] = []
    const onError = (error: unknown) => void errors.push(error)
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const client = openClient(url, { lookup: 'request', onError })
    expect((await client.check(claims)).reason).toBe('lookup_failed')
    expect(errors).toMatchObject([
      {
        code: 'UNAVAILABLE',
        message: expect.stringContaining('redirected the request (status 307)'),
      },
    ])
    expect(target.requestedUrls).toEqual([])
    server.closeAllConnections()
  })
})

describe('settleWithin', () => {
  const createError = () => new Error('timeout')

  test('settleWithin rejects at the timeout even if the operation never settles', async () => {
    let abortReason: unknown
    const operation = (signal: AbortSignal) => {
      signal.addEventListener('abort', () => {
        abortReason = signal.reason
      })
      return new Promise<never>(() => {})
    }
    const error = await settleWithin(20, operation, createError).catch((error) => error)
    expect(error.message).toBe('timeout')
    expect(abortReason).toBe(error)
  })

  test('settleWithin does not time out early if the timeout exceeds the maximum of setTimeout', async () => {
    const TEN_YEARS_MS = 3_650 * 86_400_000
    const operation = () => new Promise((resolve) => setTimeout(() => resolve('done'), 20))
    expect(await settleWithin(TEN_YEARS_MS, operation, createError)).toBe('done')
  })
})
