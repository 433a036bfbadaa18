import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { addClient, INSTALLED_DIR } from '../_support/installed.js'
import { REVOKED_CHALLENGE, REVOKED_DESCRIPTION } from '../_support/revoked.js'
import { KEY } from '../_support/served-api.js'
import { type ServedLogouts, serveLogouts } from '../_support/served-logouts.js'

const iat = Math.floor(Date.now() / 1000) - 60
const LOGGED_OUT = { sub: 'auth0|out', iat }
const LOGGED_IN = { sub: 'auth0|in', iat }

/** The releases, and the folders in which they are installed. */
const RELEASES: [name: string, dir: string][] = [
  ['Nest 10', join(INSTALLED_DIR, 'nestjs-10')],
  ['Nest 11', INSTALLED_DIR],
  ['Nest 12', join(INSTALLED_DIR, 'nestjs-12')],
]

type Urls = Record<'express' | 'fastify' | 'withOptions', string>

let logouts: ServedLogouts
beforeAll(async () => {
  logouts = await serveLogouts()
  await logouts.logOut(LOGGED_OUT.sub)
})
afterAll(() => logouts.close())

describe.each(RELEASES)('%s', (_release, dir) => {
  let app: { urls: Urls; close(): Promise<void> }
  beforeAll(async () => {
    if (dir !== INSTALLED_DIR) await addClient(dir)
    app = await startApp(dir)
  })
  afterAll(() => app.close())

  describe.each(['express', 'fastify'] as const)('on platform-%s', (platform) => {
    const get = (path: string, claims?: object, headers = {}) =>
      call(`${app.urls[platform]}/${path}`, claims, headers)

    test.each(['instance', 'injected', 'own-claims'])(
      'a guard (%s) accepts a valid token, and refuses a revoked token',
      async (path) => {
        expect(await get(path, LOGGED_IN)).toMatchObject({ status: 200, body: {} })
        expect(await get(path, LOGGED_OUT)).toEqual({
          status: 401,
          challenge: REVOKED_CHALLENGE,
          retryAfter: null,
          body: {
            error: 'invalid_token',
            error_description: REVOKED_DESCRIPTION,
          },
        })
      },
    )

    test('the guard refuses an unknown revocation status with 503 and Retry-After', async () => {
      expect(await get('unreachable', LOGGED_IN)).toMatchObject({
        status: 503,
        challenge: null,
        retryAfter: '5',
        body: { error: 'temporarily_unavailable' },
      })
    })

    test('the guard passes a refusal to an exception filter, and sets the headers of the response', async () => {
      expect(await get('filtered', LOGGED_OUT)).toEqual({
        status: 418,
        challenge: REVOKED_CHALLENGE,
        retryAfter: null,
        body: { code: 'invalid_token', headers: { 'WWW-Authenticate': REVOKED_CHALLENGE } },
      })
    })

    test('the guard sends a DPoP challenge if the request used DPoP', async () => {
      const { challenge } = await get('instance', LOGGED_OUT, { authorization: 'DPoP token' })
      expect(challenge).toBe(REVOKED_CHALLENGE.replace('Bearer', 'DPoP'))
    })

    test('the guard fails for a request without verified claims, so that no request bypasses the check (pitfall 21)', async () => {
      expect(await get('instance')).toMatchObject({ status: 500 })
      expect(await get('injected')).toMatchObject({ status: 500 })
      expect(await get('own-claims')).toMatchObject({ status: 500 })
    })

    test('with authRequired: false, the guard accepts a request without a token, and checks a request with a token', async () => {
      expect(await get('optional')).toMatchObject({ status: 200 })
      expect(await get('optional', LOGGED_OUT)).toMatchObject({ status: 401 })
      const response = await get('optional', undefined, { authorization: 'Bearer unverified' })
      expect(response).toMatchObject({ status: 401 })
    })

    test('the guard fails in GraphQL without getClaims, even if no token is required', async () => {
      expect((await get('graphql')).body).toEqual({ outcome: 'TypeError' })
    })
  })

  test('NestJS injects the options of the guard', async () => {
    const url = `${app.urls.withOptions}/injected`
    expect(await call(url)).toMatchObject({ status: 200 })
    expect(await call(url, LOGGED_OUT)).toMatchObject({ status: 401 })
  })
})

/**
 * Starts the app with the packages of a folder. Each release of Nest extends `Reflect`, so each needs its own process.
 * The app prints its URLs in the first line.
 */
async function startApp(dir: string) {
  const file = join(dir, 'app.mjs')
  await build({
    entryPoints: ['test/consumers/nestjs-app.js'],
    outfile: file,
    bundle: true,
    packages: 'external',
    format: 'esm',
    target: 'node20',
    loader: { '.js': 'ts' },
    tsconfigRaw: { compilerOptions: { experimentalDecorators: true } },
    logLevel: 'warning',
  })
  const child = spawn(process.execPath, [file], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env.PATH, LAST_LOGOUT_URL: logouts.url, LAST_LOGOUT_API_KEY: KEY },
  })
  const exited = once(child, 'exit')
  const [firstLine] = await Promise.race([once(createInterface(child.stdout), 'line'), exited])
  return {
    urls: JSON.parse(firstLine) as Urls,
    async close() {
      child.kill('SIGKILL')
      await exited
    },
  }
}

/** Sends a request with claims in a header, which the app treats as verified. */
async function call(url: string, claims?: object, headers: Record<string, string> = {}) {
  const allHeaders = claims === undefined ? headers : { ...headers, claims: JSON.stringify(claims) }
  const response = await fetch(url, { headers: allHeaders, signal: AbortSignal.timeout(10_000) })
  return {
    status: response.status,
    challenge: response.headers.get('www-authenticate'),
    retryAfter: response.headers.get('retry-after'),
    body: await response.json(),
  }
}
