import { createServer } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runHealthcheck } from '../../src/commands/healthcheck.js'
import { readApiUrl } from '../../src/config/api-address.js'
import { loadConfig } from '../../src/config/config.js'
import { finishCommand } from '../_support/cli.js'
import { finishCommandLine } from '../_support/command-line.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { openLoopback } from '../_support/loopback.js'
import { findUnusedPort } from '../_support/port.js'
import { KEY, serveApi } from '../_support/served-api.js'
import { DOMAIN } from '../_support/tenant.js'

let database: TestDatabase
let api: Awaited<ReturnType<typeof serveApi>>
beforeAll(async () => {
  database = await createTestDatabase()
  api = await serveApi(database)
})
afterAll(async () => {
  await api.close()
  await database.drop()
})

const portOf = (url: string) => new URL(url).port

describe('healthcheck', () => {
  test('healthcheck runs as a process, prints one line, and exits with 0 if the API responds', async () => {
    const PORT = portOf(api.url)
    for (const [args, endpoint] of [
      [['healthcheck'], 'live'],
      [['healthcheck', '--ready'], 'ready'],
    ] as const) {
      expect(await finishCommand([...args], { PORT })).toEqual({
        code: 0,
        stdout: `http://127.0.0.1:${PORT}/health/${endpoint} returned 200\n`,
        stderr: '',
      })
    }
  })

  test('healthcheck needs no variables except HOST and PORT, and reads no secret', async () => {
    const env = { PORT: portOf(api.url), HOST: '0.0.0.0', DATABASE_URL: 'not a URL' }
    expect(await finishCommandLine(['healthcheck'], env)).toMatchObject({ code: 0, stderr: '' })
  })

  test('healthcheck --fresh exits with 1 before the log has been read', async () => {
    const PORT = portOf(api.url)
    const { code, stdout, stderr } = await finishCommandLine(['healthcheck', '--fresh'], { PORT })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toBe(
      `last-logout: http://127.0.0.1:${PORT}/health/fresh returned 503: the data is older than MAX_LAG, or the database is unavailable. \`last-logout status\` shows which\n`,
    )
  })

  test('if the database is unavailable, healthcheck --ready exits with 1, and healthcheck with 0', async () => {
    await database.query('ALTER TABLE tenant RENAME TO renamed')
    try {
      const PORT = portOf(api.url)
      expect(await finishCommandLine(['healthcheck'], { PORT })).toMatchObject({ code: 0 })
      const { code, stderr } = await finishCommandLine(['healthcheck', '--ready'], { PORT })
      expect(code).toBe(1)
      expect(stderr).toMatch(/returned 503: the database is unavailable\. `last-logout doctor`/)
    } finally {
      await database.query('ALTER TABLE renamed RENAME TO tenant')
    }
  })

  test('healthcheck exits with 1 if nothing listens, and names the address', async () => {
    const PORT = await findUnusedPort()
    const { code, stdout, stderr } = await finishCommandLine(['healthcheck'], { PORT })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toBe(
      `last-logout: http://127.0.0.1:${PORT}/health/live cannot be reached (ECONNREFUSED): check that the API runs here, at this HOST and PORT\n`,
    )
  })

  test('healthcheck exits with 1 if another program listens and does not respond with 200', async () => {
    const otherProgram = await openLoopback(createServer((_request, response) => response.end()))
    const notFound = await openLoopback(
      createServer((_request, response) => response.writeHead(404).end()),
    )
    try {
      const run = ({ port }: { port: number }) =>
        finishCommandLine(['healthcheck'], { PORT: String(port) })
      expect((await run(otherProgram)).code).toBe(0)
      expect((await run(notFound)).stderr).toContain('returned 404: another program listens')
    } finally {
      await Promise.all([otherProgram.close(), notFound.close()])
    }
  })

  test('healthcheck fails with UNHEALTHY after the timeout if there is no response', async () => {
    const unresponsive = await openLoopback(createServer(() => {}))
    try {
      const env = { PORT: String(unresponsive.port) }
      await expect(runHealthcheck({ env, print: () => {} }, {}, 50)).rejects.toMatchObject({
        code: 'UNHEALTHY',
        message: expect.stringMatching(/did not respond within 50 ms: read the log of the API$/),
      })
    } finally {
      await unresponsive.close()
    }
  })
})

test.each([
  [{}, 'http://127.0.0.1:8080'],
  [{ HOST: '', PORT: '' }, 'http://127.0.0.1:8080'],
  [{ HOST: '0.0.0.0', PORT: '80' }, 'http://127.0.0.1:80'],
  [{ PORT: '08080' }, 'http://127.0.0.1:8080'],
  [{ PORT: '8081.0' }, 'http://127.0.0.1:8081'],
  [{ HOST: '::' }, 'http://[::1]:8080'],
  [{ HOST: 'fe80::1' }, 'http://[fe80::1]:8080'],
  [{ HOST: 'localhost' }, 'http://localhost:8080'],
  [{ HOST: '10.0.0.7' }, 'http://10.0.0.7:8080'],
])('healthcheck reads the URL of the API from %j, and the port as the API does', (env, url) => {
  expect(readApiUrl(env)).toBe(url)
  const { http } = loadConfig({ AUTH0_DOMAIN: DOMAIN, API_KEYS: `test:${KEY}`, ...env }, ['api'])
  expect(`${http.port}`).toBe(new URL(url).port || '80')
})

test.each([{ PORT: '0' }, { PORT: 'http' }, { PORT: '65536' }, { HOST: 'a b' }])(
  'healthcheck rejects %j, with exit code 2',
  async (env) => {
    const { code, stderr } = await finishCommandLine(['healthcheck'], env)
    expect(code).toBe(2)
    expect(stderr).toMatch(
      /^last-logout: HOST or PORT does not name the address of an API: set HOST/,
    )
  },
)
