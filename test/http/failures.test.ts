import { describe, expect, test } from 'vitest'
import type { AppDeps } from '../../src/http/app.js'
import { bearer, keys, openApi } from '../_support/api.js'
import { createTestDatabase } from '../_support/database.js'
import { serveApi } from '../_support/served-api.js'

const nothing = async () => {
  throw new Error('not asked')
}
const open = (deps: Partial<AppDeps> = {}) =>
  openApi({
    readKnown: async () => ({
      user: null,
      session: null,
      floorAt: null,
      asOf: null,
      now: 0,
      complete: false,
    }),
    readProgress: nothing,
    readChanges: nothing,
    storeReported: nothing,
    ...deps,
  })
type Api = Awaited<ReturnType<typeof open>>

const wrong = bearer({ ...keys.reader, key: 'w'.repeat(32) })
const url = '/v1/users/x/last-logout'

const ask = (app: Api, headers: Record<string, string> = wrong, remoteAddress = '192.0.2.1') =>
  app.inject({ url, headers, remoteAddress })

const exhaust = async (app: Api, headers = wrong, remoteAddress = '192.0.2.1') => {
  for (let n = 0; n < 20; n++) {
    expect((await ask(app, headers, remoteAddress)).statusCode).toBe(401)
  }
}

describe('wrong keys', () => {
  test('after twenty within a minute are 429, which says how long to wait', async () => {
    const app = await open()
    await exhaust(app)
    const answer = await ask(app)
    expect(answer.statusCode).toBe(429)
    expect(answer.json()).toEqual({
      statusCode: 429,
      error: 'Too Many Requests',
      message: expect.stringContaining('wrong keys'),
    })
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(50)
    expect(Number(answer.headers['retry-after'])).toBeLessThanOrEqual(60)
    await app.close()
  })

  test('keep no right key from passing, also from the same address', async () => {
    const app = await open()
    await exhaust(app)
    expect((await ask(app)).statusCode).toBe(429)
    expect((await ask(app, bearer(keys.reader))).statusCode).toBe(200)
    expect((await ask(app, bearer(keys.checker))).statusCode).toBe(403)
    expect((await app.inject({ url: '/health/live', headers: wrong })).statusCode).toBe(200)
    await app.close()
  })

  test('of one address are nothing to another, and no key at all is not a wrong one', async () => {
    const app = await open()
    await exhaust(app)
    expect((await ask(app, wrong, '192.0.2.2')).statusCode).toBe(401)
    expect((await ask(app, {})).statusCode).toBe(401)
    await app.close()
  })

  test('right ones are not counted', async () => {
    const app = await open()
    for (let n = 0; n < 50; n++) await ask(app, bearer(keys.reader))
    await exhaust(app)
    await app.close()
  })

  test.each([
    ['in another scheme', { authorization: `Digest ${'w'.repeat(32)}` }],
    ['as a password', { authorization: `Basic ${btoa(`x:${'w'.repeat(32)}`)}` }],
    ['of nothing', { authorization: '' }],
  ])('count too when sent %s', async (_how, headers) => {
    const app = await open()
    await exhaust(app, headers)
    expect((await ask(app, headers)).statusCode).toBe(429)
    await app.close()
  })

  test.each(['/nothing', '/v1/log-stream', '/docs/', '/openapi.json'])(
    'count at %s',
    async (path) => {
      const app = await open({ logStream: { token: 't'.repeat(32), receive: nothing } })
      const post = () =>
        app.inject({
          method: path === '/v1/log-stream' ? 'POST' : 'GET',
          url: path,
          headers: wrong,
        })
      for (let n = 0; n < 20; n++) expect((await post()).statusCode).toBe(401)
      expect((await post()).statusCode).toBe(429)
      await app.close()
    },
  )

  test('count for a whole /64 of IPv6, and IPv4 is one however it is written', async () => {
    const app = await open()
    await exhaust(app, wrong, '2001:db8:0:1::1')
    expect((await ask(app, wrong, '2001:db8:0:1:ffff:ffff:ffff:ffff')).statusCode).toBe(429)
    expect((await ask(app, wrong, '2001:db8:0:2::1')).statusCode).toBe(401)
    await exhaust(app, wrong, '192.0.2.9')
    expect((await ask(app, wrong, '::ffff:192.0.2.9')).statusCode).toBe(429)
    await app.close()
  })

  test('of ever more addresses take no ever more memory', async () => {
    const app = await open()
    await exhaust(app, wrong, '198.51.100.1')
    for (let n = 0; n < 10_000; n++) {
      await ask(app, wrong, `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`)
    }
    // The one that was wrong least recently had to go.
    expect((await ask(app, wrong, '198.51.100.1')).statusCode).toBe(401)
    await app.close()
  }, 60_000)

  test('are said once in the log, by address, without the key', async () => {
    const app = await open()
    await exhaust(app)
    const isSaid = (line: string) => line.includes('too many wrong keys')
    expect(app.lines.filter(isSaid)).toEqual([])
    await Promise.all(Array.from({ length: 10 }, () => ask(app)))
    await exhaust(app, wrong, '192.0.2.2')
    await ask(app, wrong, '192.0.2.2')
    const said = app.lines.filter(isSaid)
    expect(said).toHaveLength(1)
    expect(JSON.parse(said[0] ?? '')).toMatchObject({ level: 40, address: '192.0.2.1' })
    expect(app.lines.join()).not.toContain('wwww')
    await app.close()
  })
})

describe('behind proxies', () => {
  const forwarded = (from: string) => ({ ...wrong, 'x-forwarded-for': from })

  test('nobody is believed to be somebody else, unless told so', async () => {
    const app = await open()
    for (let n = 0; n < 20; n++) await ask(app, forwarded(`203.0.113.${n}`))
    expect((await ask(app, forwarded('203.0.113.99'))).statusCode).toBe(429)
    await app.close()
  })

  test('a proxy that is trusted tells whose keys are wrong', async () => {
    const app = await open({ trustProxy: ['192.0.2.1'] })
    await exhaust(app, forwarded('203.0.113.1'))
    expect((await ask(app, forwarded('203.0.113.1'))).statusCode).toBe(429)
    expect((await ask(app, forwarded('203.0.113.2'))).statusCode).toBe(401)
    await app.close()
  })

  test('what a caller adds in front of the proxy’s word is not believed', async () => {
    const app = await open({ trustProxy: ['192.0.2.1'] })
    for (let n = 0; n < 20; n++) await ask(app, forwarded(`198.51.100.${n}, 203.0.113.1`))
    expect((await ask(app, forwarded('198.51.100.99, 203.0.113.1'))).statusCode).toBe(429)
    await app.close()
  })

  test('one that goes round the proxy is believed nothing', async () => {
    const app = await open({ trustProxy: ['192.0.2.1'] })
    for (let n = 0; n < 20; n++) await ask(app, forwarded(`203.0.113.${n}`), '198.51.100.1')
    expect((await ask(app, forwarded('203.0.113.99'), '198.51.100.1')).statusCode).toBe(429)
    await app.close()
  })

  test('TRUST_PROXY says so to `last-logout api`', async () => {
    const database = await createTestDatabase()
    const api = await serveApi(database, { TRUST_PROXY: 'loopback' })
    const status = async (from: string) =>
      (await fetch(api.url, { headers: forwarded(from) })).status
    for (let n = 0; n < 20; n++) expect(await status('203.0.113.1')).toBe(401)
    expect(await status('203.0.113.1')).toBe(429)
    expect(await status('203.0.113.2')).toBe(401)
    await api.close()
    await database.drop()
  })

  test.each(['', 'nonsense', '203.0.113.1:8080', ',,,', 'x'.repeat(10_000)])(
    'a proxy may say %j: what is no address is counted together',
    async (said) => {
      const app = await open({ trustProxy: ['192.0.2.1'] })
      expect((await ask(app, forwarded(said))).statusCode).toBe(401)
      await app.close()
    },
  )
})
