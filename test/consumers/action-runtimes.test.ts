import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { openFakeServer, responseAbout } from '../_support/fake-server.js'

/**
 * A program that runs the built Action with an event. Prints the claims that the Action sets, and the reason of its
 * denial. It fails if the Action logs a line.
 */
const RUN_ACTION = `const [file, event] = process.argv.slice(1)
const run = { node: process.version, claims: {}, denied: null }
const token = { setCustomClaim: (name, value) => { run.claims[name] = value } }
const api = { accessToken: token, idToken: token, access: { deny: (reason) => { run.denied = reason } } }
console.log = (line) => { throw new Error(line) }
require(file).onExecutePostLogin(JSON.parse(event), api).then(() => process.stdout.write(JSON.stringify(run)))`

describe.each([18, 22])("on Auth0's runtime node%i", (release) => {
  /** Runs the Action in this release of Node.js, with a service in which the user has logged out. */
  async function runAction(event: object) {
    const logoutAt = new Date().toISOString()
    const [status, body] = responseAbout('auth0|out', 'phone')
    const response = JSON.stringify({
      ...JSON.parse(body),
      last_logout_at: logoutAt,
      all_sessions_at: logoutAt,
    })
    const { url } = await openFakeServer(() => [status, response])
    const secrets = { LAST_LOGOUT_URL: url, LAST_LOGOUT_API_KEY: 'k'.repeat(32) }
    const file = resolve('dist/login-action.cjs')
    // `node@18` downloads its binary in an install script, which npm may be configured to skip.
    const binary = `--package=node-${process.platform}-${process.arch}@${release}`
    const args = ['node', '-e', RUN_ACTION, file, JSON.stringify({ ...event, secrets })]
    const { stdout } = await promisify(execFile)('npx', ['--yes', binary, '--', ...args])
    const result = JSON.parse(stdout)
    expect(result.node).toMatch(new RegExp(`^v${release}\\.`))
    return result
  }
  const user = { user_id: 'auth0|out' }

  test('the built Action sets the claims at a login', async () => {
    const transaction = { protocol: 'oidc-basic-profile' }
    const { claims, denied } = await runAction({ user, transaction, session: { id: 'phone' } })
    expect(claims).toMatchObject({
      'https://last-logout/authenticated_at': expect.any(Number),
      'https://last-logout/session_id': 'phone',
    })
    expect(denied).toBeNull()
  })

  test('the built Action denies the use of a refresh token that was created before the logout', async () => {
    const transaction = { protocol: 'oauth2-refresh-token' }
    const refresh_token = { session_id: 'phone', created_at: '2026-01-01T00:00:00.000Z' }
    const { denied } = await runAction({ user, transaction, refresh_token })
    expect(denied).toBe('last_logout: the session was logged out')
  })
})
