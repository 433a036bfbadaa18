import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/config.js'
import { createService, type Service } from '../../src/service/service.js'
import { buildEntry } from '../../src/simulator/entries.js'
import { type ClientProject, installClient } from '../_support/client-package.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { readExample } from '../_support/documents.js'
import { type Issuer, ORDERS_AUDIENCE, openIssuer } from '../_support/issuer.js'
import { KEY } from '../_support/served-api.js'
import { openTenant, type TestTenant, tenantEnv } from '../_support/tenant.js'

const DOCUMENT = 'docs/resource-servers.md'
const SESSION = 'https://last-logout/session_id'
const run = promisify(execFile)

let project: ClientProject
let database: TestDatabase
let t: TestTenant
let issuer: Issuer
let service: Service
let apiUrl: string
beforeAll(async () => {
  project = await installClient()
  database = await createTestDatabase()
  t = await openTenant()
  issuer = await openIssuer()
  const config = loadConfig(
    {
      ...tenantEnv(t.simulator),
      DATABASE_URL: database.url,
      API_KEYS: `orders:${KEY}:feed+read`,
      PORT: '0',
      POLL_INTERVAL: '200ms',
    },
    ['auth0', 'api', 'database'],
  )
  service = await createService(config, pino({ level: 'silent' }))
  await service.startWorker()
  apiUrl = await service.startApi()
}, 120_000)
afterAll(async () => {
  await service.close()
  await Promise.all([issuer.close(), t.close(), project.remove()])
  await database.drop()
})

describe('the package', () => {
  test('the package has no dependency', async () => {
    const installed = await readdir(join(project.dir, 'node_modules'))
    expect(installed.filter((name) => !name.startsWith('.'))).toEqual(['last-logout-client'])
  })

  test('publint and are-the-types-wrong find no problem in the package', async () => {
    await run('node_modules/.bin/publint', ['--strict', project.tarball])
    await run('node_modules/.bin/attw', [project.tarball])
  }, 60_000)

  test.each(['', '/express', '/fastify', '/fetch'])(
    'last-logout-client%s has the same exports with import and require',
    async (entry) => {
      const specifier = `last-logout-client${entry}`
      const printNames = `console.log(Object.keys(names).filter((name) => name !== 'default' && name !== 'module.exports' && name !== '__esModule').sort().join())`
      const options = { cwd: project.dir }
      const imported = await run(
        process.execPath,
        ['--input-type=module', '-e', `const names = await import('${specifier}');${printNames}`],
        options,
      )
      const required = await run(
        process.execPath,
        ['--input-type=commonjs', '-e', `const names = require('${specifier}');${printNames}`],
        options,
      )
      expect(imported.stdout).toBe(required.stdout)
      expect(imported.stdout.trim()).not.toBe('')
    },
  )
})

/** A server that runs an example of the document. */
interface Example {
  url: string
  close(): Promise<void>
}

describe.each([
  ['Express', ['express', 'express-oauth2-jwt-bearer'], 'const server = app.listen'],
  ['Fastify', ['fastify', 'fastify-auth0-verify'], 'app.listen'],
  ['Request and Response', ['jose'], ''],
])('the example for %s', (heading, packages, listen) => {
  let example: Example
  beforeAll(async () => {
    await Promise.all(packages.map((name) => project.add(name)))
    example = await runExample(heading, listen, apiUrl)
  })
  afterAll(() => example.close())

  const call = (token: string, { url } = example) =>
    fetch(`${url}/orders`, { headers: { authorization: `Bearer ${token}` } })
  const statusOf = async (token: string) => (await call(token)).status
  const now = () => Math.floor(Date.now() / 1000)
  const userId = `auth0|${heading}`

  test('the example rejects a token from before the logout, and accepts a later token and a token of another session', async () => {
    const claims = { sub: userId, iat: now() - 60 }
    const phone = await issuer.sign({ ...claims, [SESSION]: `${heading} phone` })
    const laptop = await issuer.sign({ ...claims, [SESSION]: `${heading} laptop` })
    const plain = await issuer.sign(claims)
    await expect.poll(() => statusOf(phone), { timeout: 10_000 }).toBe(200)
    expect(await Promise.all([laptop, plain].map(statusOf))).toEqual([200, 200])

    t.tenant.write(buildEntry('slo', { userId, sessionId: `${heading} phone` }))

    await expect.poll(() => statusOf(phone), { timeout: 10_000 }).toBe(401)
    const rejected = await call(phone)
    expect(rejected.headers.get('www-authenticate')).toMatch(/^Bearer error="invalid_token"/)
    expect(await statusOf(laptop)).toBe(200)
    // This token names no session. Every logout of the user can be the logout of its session.
    expect(await statusOf(plain)).toBe(401)
    const again = await issuer.sign({ sub: userId, iat: now() + 1, [SESSION]: 'again' })
    expect(await statusOf(again)).toBe(200)
  })

  test('the example rejects the tokens that its JWT library rejects', async () => {
    const expired = await issuer.sign({ sub: userId, iat: now() - 60, exp: now() - 30 })
    expect(await statusOf(expired)).toBe(401)
    expect((await fetch(`${example.url}/orders`)).status).toBe(401)
  })

  test('the example responds with 503 while the service is unreachable', async () => {
    const unreachable = await runExample(heading, listen, 'http://127.0.0.1:1')
    const response = await call(await issuer.sign({ sub: userId, iat: now() }), unreachable)
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toBeTruthy()
    await unreachable.close()
  })
})

/** Runs an example of the document in the project. Only code that reports the port is added to the example. */
async function runExample(heading: string, listen: string, lastLogoutUrl: string) {
  const code = await readExample(DOCUMENT, heading, 'js')
  const file = join(project.dir, `example-${Math.random().toString(36).slice(2)}.mjs`)
  await writeFile(
    file,
    `${code.replace('app.listen', listen || 'app.listen')}\n${reportPort(heading)}`,
  )
  const child = spawn(process.execPath, [file], {
    cwd: project.dir,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: {
      PATH: process.env.PATH,
      ISSUER_BASE_URL: issuer.url,
      AUDIENCE: ORDERS_AUDIENCE,
      LAST_LOGOUT_URL: lastLogoutUrl,
      LAST_LOGOUT_API_KEY: KEY,
      // Outside of tests, Express prints every error.
      NODE_ENV: 'test',
      PORT: '0',
    },
  })
  const [port] = await once(child, 'message')
  return {
    url: `http://localhost:${port}`,
    async close() {
      const exited = once(child, 'exit')
      child.kill()
      await exited
    },
  }
}

/** Returns the code that is added to an example. It sends the port to the test. For a mere handler, it also runs a server. */
function reportPort(heading: string): string {
  if (heading === 'Express')
    return `server.on('listening', () => process.send(server.address().port))`
  if (heading === 'Fastify') return `process.send(app.server.address().port)`
  return `
    const { createServer } = await import('node:http')
    const server = createServer(async (req, res) => {
      const response = await handle(new Request('http://x' + req.url, { headers: req.headers }))
      res.writeHead(response.status, Object.fromEntries(response.headers)).end(await response.text())
    }).listen(0, '127.0.0.1', () => process.send(server.address().port))`
}
