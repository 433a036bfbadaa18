import { describe, expect, test } from 'vitest'
import type { AppDeps } from '../../src/http/app.js'
import { bearer, failIfCalled, keys, openApi } from '../_support/api.js'
import { createTestDatabase } from '../_support/database.js'
import { serveApi } from '../_support/served-api.js'

/** Opens an API that knows no logout. */
const openAppWith = (deps: Partial<AppDeps> = {}) =>
  openApi({
    readKnownLogouts: async () => ({
      user: null,
      session: null,
      floorAt: null,
      asOf: null,
      now: 0,
      complete: false,
    }),
    readProgress: failIfCalled,
    readChanges: failIfCalled,
    storeReported: failIfCalled,
    ...deps,
  })
type Api = Awaited<ReturnType<typeof openAppWith>>

const wrongKey = bearer({ ...keys.reader, key: 'w'.repeat(32) })
const url = '/v1/users/x/last-logout'

/** Sends a request from an address, by default with a wrong key. */
const request = (
  app: Api,
  headers: Record<string, string> = wrongKey,
  remoteAddress = '192.0.2.1',
) => app.inject({ url, headers, remoteAddress })

/** Sends as many wrong keys as the API accepts from one address within a minute. */
const sendTwentyWrongKeys = async (app: Api, headers = wrongKey, remoteAddress = '192.0.2.1') => {
  for (let n = 0; n < 20; n++) {
    expect((await request(app, headers, remoteAddress)).statusCode).toBe(401)
  }
}

describe('wrong keys', () => {
  test('the API responds with 429 and Retry-After after twenty wrong keys within a minute', async () => {
    const app = await openAppWith()
    await sendTwentyWrongKeys(app)
    const response = await request(app)
    expect(response.statusCode).toBe(429)
    expect(response.json()).toEqual({
      statusCode: 429,
      error: 'Too Many Requests',
      message: expect.stringContaining('wrong keys'),
    })
    expect(Number(response.headers['retry-after'])).toBeGreaterThan(50)
    expect(Number(response.headers['retry-after'])).toBeLessThanOrEqual(60)
    await app.close()
  })

  test('wrong keys do not block a valid key from the same address', async () => {
    const app = await openAppWith()
    await sendTwentyWrongKeys(app)
    expect((await request(app)).statusCode).toBe(429)
    expect((await request(app, bearer(keys.reader))).statusCode).toBe(200)
    expect((await request(app, bearer(keys.checker))).statusCode).toBe(403)
    expect((await app.inject({ url: '/health/live', headers: wrongKey })).statusCode).toBe(200)
    await app.close()
  })

  test('wrong keys do not block other addresses or requests without a key', async () => {
    const app = await openAppWith()
    await sendTwentyWrongKeys(app)
    expect((await request(app, wrongKey, '192.0.2.2')).statusCode).toBe(401)
    expect((await request(app, {})).statusCode).toBe(401)
    await app.close()
  })

  test('valid keys do not count as wrong keys', async () => {
    const app = await openAppWith()
    for (let n = 0; n < 50; n++) await request(app, bearer(keys.reader))
    await sendTwentyWrongKeys(app)
    await app.close()
  })

  test.each([
    ['with the scheme Digest', { authorization: `Digest ${'w'.repeat(32)}` }],
    ['as a password', { authorization: `Basic ${btoa(`x:${'w'.repeat(32)}`)}` }],
    ['in an empty header', { authorization: '' }],
  ])('the API counts wrong keys that are sent %s', async (_case, headers) => {
    const app = await openAppWith()
    await sendTwentyWrongKeys(app, headers)
    expect((await request(app, headers)).statusCode).toBe(429)
    await app.close()
  })

  test.each(['/nothing', '/v1/log-stream', '/docs/', '/openapi.json'])(
    'the API counts wrong keys in requests to %s',
    async (path) => {
      const app = await openAppWith({ logStream: { token: 't'.repeat(32), receive: failIfCalled } })
      const send = () =>
        app.inject({
          method: path === '/v1/log-stream' ? 'POST' : 'GET',
          url: path,
          headers: wrongKey,
        })
      for (let n = 0; n < 20; n++) expect((await send()).statusCode).toBe(401)
      expect((await send()).statusCode).toBe(429)
      await app.close()
    },
  )

  test('wrong keys are counted for each /64 prefix of IPv6, and for each IPv4 address in any notation', async () => {
    const app = await openAppWith()
    await sendTwentyWrongKeys(app, wrongKey, '2001:db8:0:1::1')
    expect((await request(app, wrongKey, '2001:db8:0:1:ffff:ffff:ffff:ffff')).statusCode).toBe(429)
    expect((await request(app, wrongKey, '2001:db8:0:2::1')).statusCode).toBe(401)
    await sendTwentyWrongKeys(app, wrongKey, '192.0.2.9')
    expect((await request(app, wrongKey, '::ffff:192.0.2.9')).statusCode).toBe(429)
    await app.close()
  })

  test('wrong keys from many addresses use bounded memory', async () => {
    const app = await openAppWith()
    await sendTwentyWrongKeys(app, wrongKey, '198.51.100.1')
    // The API counts at most 10,000 addresses.
    for (let n = 0; n < 10_000; n++) {
      await request(app, wrongKey, `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`)
    }
    // The first address was evicted, because it was the least recently used one.
    expect((await request(app, wrongKey, '198.51.100.1')).statusCode).toBe(401)
    await app.close()
  }, 60_000)

  test('wrong keys are logged once, with the address and without the key', async () => {
    const app = await openAppWith()
    await sendTwentyWrongKeys(app)
    const isWarning = (line: string) => line.includes('too many wrong keys')
    expect(app.logLines.filter(isWarning)).toEqual([])
    await Promise.all(Array.from({ length: 10 }, () => request(app)))
    await sendTwentyWrongKeys(app, wrongKey, '192.0.2.2')
    await request(app, wrongKey, '192.0.2.2')
    const warnings = app.logLines.filter(isWarning)
    expect(warnings).toHaveLength(1)
    expect(JSON.parse(warnings[0] ?? '')).toMatchObject({ level: 40, address: '192.0.2.1' })
    expect(app.logLines.join()).not.toContain('wwww')
    await app.close()
  })
})

describe('the log names the callers that cause LastLogoutKeysRefused', () => {
  const parseLines = (app: Api) =>
    app.logLines.filter((line) => line.includes(' rejected')).map((line) => JSON.parse(line))

  test('the first wrong key within a minute is logged, with its address', async () => {
    const app = await openAppWith()
    await request(app)
    await request(app, wrongKey, '192.0.2.2')
    // A request without a key is no wrong key.
    await request(app, {}, '192.0.2.3')
    const fields = { level: 40, address: '192.0.2.1', msg: 'unknown key rejected' }
    expect(parseLines(app)).toEqual([expect.objectContaining(fields)])
    expect(app.logLines.join()).not.toContain('wwww')
    await app.close()
  })

  test('a key that lacks a role is logged once within a minute for each caller, with the role and the address', async () => {
    const app = await openAppWith()
    for (let n = 0; n < 3; n++) {
      for (const key of [keys.subscriber, keys.checker]) await request(app, bearer(key))
    }
    const fields = { level: 40, access: 'read', address: '192.0.2.1' }
    const msg = 'key without the role rejected'
    expect(parseLines(app)).toEqual([
      expect.objectContaining({ ...fields, caller: keys.subscriber.name, msg }),
      expect.objectContaining({ ...fields, caller: keys.checker.name, msg }),
    ])
    expect(app.logLines.join()).not.toContain(keys.subscriber.key)
    await app.close()
  })
})

describe('behind proxies', () => {
  /** Returns the headers of a request that a proxy forwards from an address. */
  const headersForwardedFrom = (address: string) => ({ ...wrongKey, 'x-forwarded-for': address })

  test('X-Forwarded-For is ignored by default', async () => {
    const app = await openAppWith()
    for (let n = 0; n < 20; n++) await request(app, headersForwardedFrom(`203.0.113.${n}`))
    expect((await request(app, headersForwardedFrom('203.0.113.99'))).statusCode).toBe(429)
    await app.close()
  })

  test('wrong keys are counted for each address in X-Forwarded-For of a trusted proxy', async () => {
    const app = await openAppWith({ trustProxy: ['192.0.2.1'] })
    await sendTwentyWrongKeys(app, headersForwardedFrom('203.0.113.1'))
    expect((await request(app, headersForwardedFrom('203.0.113.1'))).statusCode).toBe(429)
    expect((await request(app, headersForwardedFrom('203.0.113.2'))).statusCode).toBe(401)
    await app.close()
  })

  test('addresses that the caller itself has written into X-Forwarded-For are ignored', async () => {
    const app = await openAppWith({ trustProxy: ['192.0.2.1'] })
    for (let n = 0; n < 20; n++)
      await request(app, headersForwardedFrom(`198.51.100.${n}, 203.0.113.1`))
    expect(
      (await request(app, headersForwardedFrom('198.51.100.99, 203.0.113.1'))).statusCode,
    ).toBe(429)
    await app.close()
  })

  test('X-Forwarded-For of a caller that bypasses the proxy is ignored', async () => {
    const app = await openAppWith({ trustProxy: ['192.0.2.1'] })
    for (let n = 0; n < 20; n++)
      await request(app, headersForwardedFrom(`203.0.113.${n}`), '198.51.100.1')
    expect(
      (await request(app, headersForwardedFrom('203.0.113.99'), '198.51.100.1')).statusCode,
    ).toBe(429)
    await app.close()
  })

  test('`last-logout api` trusts the proxies in TRUST_PROXY', async () => {
    const database = await createTestDatabase()
    const api = await serveApi(database, { TRUST_PROXY: 'loopback' })
    const statusFor = async (address: string) =>
      (await fetch(api.url, { headers: headersForwardedFrom(address) })).status
    for (let n = 0; n < 20; n++) expect(await statusFor('203.0.113.1')).toBe(401)
    expect(await statusFor('203.0.113.1')).toBe(429)
    expect(await statusFor('203.0.113.2')).toBe(401)
    await api.close()
    await database.drop()
  })

  test.each(['', 'nonsense', '203.0.113.1:8080', ',,,', 'x'.repeat(10_000)])(
    'the API rejects a wrong key with 401 even if X-Forwarded-For is %j',
    async (value) => {
      const app = await openAppWith({ trustProxy: ['192.0.2.1'] })
      expect((await request(app, headersForwardedFrom(value))).statusCode).toBe(401)
      await app.close()
    },
  )
})
