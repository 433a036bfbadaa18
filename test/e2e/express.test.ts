import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config.js'
import { createService, type Service } from '../../src/service.js'
import { buildEntry } from '../../src/simulator/entries.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { AUDIENCE, type Issuer, openIssuer } from '../_support/issuer.js'
import { DOMAIN, openTenant, type TestTenant } from '../_support/tenant.js'

const KEY = 'a-key-of-more-than-32-characters!'
const SESSION = 'https://last-logout/session_id'

let database: TestDatabase
let t: TestTenant
let issuer: Issuer
let service: Service
let orders: { url: string; close(): Promise<void> }
beforeAll(async () => {
  database = await createTestDatabase()
  t = await openTenant()
  issuer = await openIssuer()
  const config = loadConfig(
    {
      AUTH0_DOMAIN: DOMAIN,
      AUTH0_BASE_URL: t.simulator.url,
      AUTH0_CLIENT_ID: t.simulator.credentials.clientId,
      AUTH0_CLIENT_SECRET: t.simulator.credentials.clientSecret,
      DATABASE_URL: database.url,
      API_KEYS: `orders:${KEY}:check`,
      PORT: '0',
      POLL_INTERVAL: '200ms',
    },
    ['auth0', 'api'],
  )
  service = await createService(config, pino({ level: 'silent' }))
  await service.startWorker()
  orders = await runReadmeExample(await service.startApi())
})
afterAll(async () => {
  await orders.close()
  await service.close()
  await Promise.all([issuer.close(), t.close()])
  await database.drop()
})

const call = async (token: string) =>
  fetch(`${orders.url}/orders`, { headers: { authorization: `Bearer ${token}` } })
const statusOf = async (token: string) => (await call(token)).status
const now = () => Math.floor(Date.now() / 1000)

describe('the Express API of the README', () => {
  test('refuses a token from before the logout, accepts one from after it, and one of another session', async () => {
    const claims = { sub: 'auth0|42', iat: now() - 60 }
    const phone = await issuer.sign({ ...claims, [SESSION]: 'phone' })
    const laptop = await issuer.sign({ ...claims, [SESSION]: 'laptop' })
    const plain = await issuer.sign(claims)
    await expect.poll(() => statusOf(phone), { timeout: 10_000 }).toBe(200)
    expect(await Promise.all([laptop, plain].map(statusOf))).toEqual([200, 200])

    t.tenant.write(buildEntry('slo', { userId: 'auth0|42', sessionId: 'phone' }))

    await expect.poll(() => statusOf(phone), { timeout: 10_000 }).toBe(401)
    expect(await statusOf(laptop)).toBe(200)
    // It names no session: any logout of the user may have been its own.
    expect(await statusOf(plain)).toBe(401)
    const again = await issuer.sign({ sub: 'auth0|42', iat: now() + 1, [SESSION]: 'phone-again' })
    expect(await statusOf(again)).toBe(200)
    expect(await statusOf(await issuer.sign({ sub: 'auth0|43', iat: now() - 60 }))).toBe(200)
  })

  test('says why, as RFC 6750 has it', async () => {
    t.tenant.write(buildEntry('slo', { userId: 'auth0|50', sessionId: 'S50' }))
    const token = await issuer.sign({ sub: 'auth0|50', iat: now() - 60, [SESSION]: 'S50' })
    await expect.poll(() => statusOf(token), { timeout: 10_000 }).toBe(401)
    const refused = await call(token)
    expect(refused.headers.get('www-authenticate')).toMatch(/^Bearer error="invalid_token"/)
  })

  test('still refuses what its JWT library refuses', async () => {
    const expired = await issuer.sign({ sub: 'auth0|42', iat: now() - 60, exp: now() - 30 })
    expect(await statusOf(expired)).toBe(401)
    expect((await fetch(`${orders.url}/orders`)).status).toBe(401)
  })
})

describe('while last-logout cannot say', () => {
  test('the API answers 503, neither "revoked" nor "valid"', async () => {
    const blind = await runReadmeExample('http://127.0.0.1:1')
    const token = await issuer.sign({ sub: 'auth0|44', iat: now() })
    const answer = await fetch(`${blind.url}/orders`, {
      headers: { authorization: `Bearer ${token}` },
    })
    expect(answer.status).toBe(503)
    expect(answer.headers.get('retry-after')).toBeTruthy()
    await blind.close()
  })
})

/** Runs the code that the README tells its reader to write, as it stands there. */
async function runReadmeExample(lastLogoutUrl: string): Promise<typeof orders> {
  const readme = await readFile('README.md', 'utf8')
  const [, code] = /### In an Express API[\s\S]*?```js\n([\s\S]*?)```/.exec(readme) ?? []
  if (code === undefined) throw new Error('the README has no Express example')
  const file = `test/e2e/readme-example-${Math.random().toString(36).slice(2)}.tmp.mjs`
  const report = `\nserver.on('listening', () => process.send(server.address().port))`
  await writeFile(file, code.replace('app.listen', 'const server = app.listen') + report)
  const child = spawn(process.execPath, [file], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: {
      ISSUER_BASE_URL: issuer.url,
      AUDIENCE,
      LAST_LOGOUT_URL: lastLogoutUrl,
      LAST_LOGOUT_API_KEY: KEY,
      // Express prints every error it answers, unless told that this is a test.
      NODE_ENV: 'test',
      PORT: '0',
    },
  })
  const [port] = await once(child, 'message')
  await rm(file)
  return {
    url: `http://localhost:${port}`,
    async close() {
      const exited = once(child, 'exit')
      child.kill()
      await exited
    },
  }
}
