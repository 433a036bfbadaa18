import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { abortedError } from '../../src/errors.js'
import { finishCommand } from '../_support/cli.js'
import { finishCommandLine } from '../_support/command-line.js'
import { createTestDatabase, type TestDatabase } from '../_support/database.js'
import { readExample } from '../_support/documents.js'
import { openTestStore } from '../_support/store.js'

// Seconds since the epoch, as in JWTs.
const NOW = Math.floor(Date.now() / 1000)
const LOGIN = NOW - 600
const LOG_ID = `900${'1'.repeat(53)}`
const iso = (seconds: number) => new Date(seconds * 1000).toISOString()

let database: TestDatabase
let store: Awaited<ReturnType<typeof openTestStore>>
let env: Record<string, string>
beforeEach(async () => {
  database = await createTestDatabase()
  store = await openTestStore(database)
  env = { AUTH0_DOMAIN: 'tenant.example', DATABASE_URL: database.url }
})
afterEach(async () => {
  await store.close()
  await database.drop()
})

const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
/** Encodes a JWT with these claims. `explain` does not verify the signature, which is `signature` in base64url. */
const encodeJwt = (claims: object) =>
  `${encode({ alg: 'RS256', kid: 'K' })}.${encode(claims)}.c2lnbmF0dXJl`
/** Builds a token of the session `S1` of the user `auth0|1`, with a login of ten minutes ago. */
const buildToken = (claims: object = {}) =>
  encodeJwt({
    sub: 'auth0|1',
    iat: NOW - 60,
    exp: NOW + 3_600,
    email: 'somebody@example.com',
    'https://last-logout/authenticated_at': LOGIN,
    'https://last-logout/session_id': 'S1',
    ...claims,
  })

/** Stores a logout of the user `auth0|1` as a worker does. If `sessionId` is `null`, the logout applies to all sessions. */
async function storeLogout(atSeconds: number, sessionId: string | null) {
  const origin = { at: atSeconds * 1000, logId: LOG_ID, type: 'slo' }
  const allSessionsAt = sessionId === null ? origin.at : null
  const sessions =
    sessionId === null ? [] : [{ sessionId, userId: 'auth0|1', ended: false, ...origin }]
  const users = [{ userId: 'auth0|1', allSessionsAt, ...origin }]
  await store.storeBatch({ users, sessions, unattributable: [] })
}

/** Runs `explain --json` with this token, and returns its output. */
async function runExplain(jwtText: string, ...options: string[]) {
  const { code, stdout, stderr } = await finishCommandLine(
    ['explain', jwtText, '--json', ...options],
    env,
  )
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return JSON.parse(stdout)
}

describe('explain', () => {
  test('explain prints the claims, the rule, the times and the log id that decide', async () => {
    await storeLogout(NOW - 300, 'S1')
    expect(await runExplain(buildToken())).toEqual({
      signature_verified: false,
      subject: 'auth0|1',
      session_id: 'S1',
      session_id_claim: 'https://last-logout/session_id',
      login_at: iso(LOGIN),
      login_at_claim: 'https://last-logout/authenticated_at',
      expires_at: iso(NOW + 3_600),
      expired: false,
      policy: 'session',
      logouts: {
        session: { at: iso(NOW - 300), log_id: LOG_ID, type: 'slo', ended: false },
        all_sessions: null,
        user: { at: iso(NOW - 300), log_id: LOG_ID, type: 'slo' },
        floor: null,
      },
      decided_by: 'session',
      verdict: 'revoked',
      revoked: true,
      reason: 'session_logout',
      as_of: null,
      lag_ms: null,
      complete: false,
    })
  })

  test('explain names the logout that decides about a token that is not revoked', async () => {
    await storeLogout(LOGIN - 5, null)
    expect(await runExplain(buildToken())).toMatchObject({
      decided_by: 'all_sessions',
      revoked: false,
      reason: 'login_after_logout',
      logouts: { all_sessions: { at: iso(LOGIN - 5), log_id: LOG_ID } },
    })
  })

  test('explain marks the logout that decides, and shows that the signature is not verified. It prints no part of the token', async () => {
    await storeLogout(NOW - 300, null)
    await storeLogout(NOW - 200, 'S2')
    const jwtText = buildToken()
    const { stdout } = await finishCommandLine(['explain', jwtText], env)
    // The row of the user contains only the log id of the last logout, which replaced that of the earlier logout.
    expect(stdout).toMatch(
      new RegExp(`^all sessions +${iso(NOW - 300)}, log entry not stored  <- decisive$`, 'm'),
    )
    expect(stdout).toMatch(new RegExp(`^last logout +${iso(NOW - 200)}, slo ${LOG_ID}$`, 'm'))
    expect(stdout).toMatch(
      new RegExp(`because +all_sessions_logout: the login at ${iso(LOGIN)} is not after`),
    )
    expect(stdout).toMatch(/^signature +not verified/m)
    for (const secret of [...jwtText.split('.'), 'somebody@example.com']) {
      expect(stdout).not.toContain(secret)
    }
  })

  test.each([
    [
      'if the log was read a minute ago',
      "now() - interval '1 min'",
      {},
      'not_revoked',
      /^not revoked$/,
    ],
    [
      'before the first catch-up',
      'NULL',
      {},
      'unknown',
      /^unknown: no known logout revokes the token, but the first catch-up is not complete$/,
    ],
    [
      'if the data is stale',
      "now() - interval '301 s'",
      {},
      'unknown',
      /^unknown: .* 5 minutes old$/,
    ],
    ['of a machine', 'NULL', { sub: 'app@clients' }, 'not_revoked', /^not revoked$/],
    ['of a user who has logged out', 'NULL', { sub: 'auth0|2' }, 'revoked', /^revoked$/],
  ])(
    'explain prints the verdict on a token %s',
    async (_case, asOfSql, claims, verdict, expectedLine) => {
      await store.storeReported({
        userId: 'auth0|2',
        sessionId: null,
        at: NOW * 1000,
        type: 'operator_logout',
      })
      // The log was read up to `as_of`. Data that is older than five minutes is stale.
      await database.query(`UPDATE tenant SET as_of = ${asOfSql}`)
      const jwtText = buildToken(claims)
      expect(await runExplain(jwtText)).toMatchObject({ verdict, revoked: verdict === 'revoked' })
      const { stdout } = await finishCommandLine(['explain', jwtText], env)
      expect(/^verdict +(.*)$/m.exec(stdout)?.[1]).toMatch(expectedLine)
    },
  )

  test('explain prints what docs/cli.md shows, except for instants and log ids', async () => {
    await store.setFirstCheckpoint(LOG_ID, null)
    await store.storeCaughtUp(LOG_ID, Date.now())
    const logout = { userId: 'auth0|123', at: (NOW - 300) * 1000, logId: LOG_ID, type: 'slo' }
    await store.storeBatch({
      users: [{ allSessionsAt: null, ...logout }],
      sessions: [{ sessionId: 'S1', ended: true, ...logout }],
      unattributable: [],
    })
    const { stdout } = await finishCommandLine(['explain', buildToken({ sub: 'auth0|123' })], env)
    const withoutValues = (text: string) =>
      text
        .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'INSTANT')
        .replaceAll(/900\d{53}/g, 'LOG_ID')
        .replace(/\d+ ms ago/, 'AGE')
    const example = await readExample('docs/cli.md', 'explain', '')
    expect(withoutValues(stdout)).toBe(withoutValues(example))
  })

  test('explain prints that the verdict on a token with an invalid claim is unknown, unless a logout revokes it', async () => {
    await store.setFirstCheckpoint(LOG_ID, null)
    await store.storeCaughtUp(LOG_ID, Date.now())
    const jwtText = buildToken({
      'https://last-logout/authenticated_at': 'soon',
      sid: 'S1',
      iat: NOW,
    })
    expect(await runExplain(jwtText)).toMatchObject({
      login_at: null,
      login_at_claim: 'https://last-logout/authenticated_at',
      verdict: 'unknown',
      revoked: null,
      reason: 'login_unreadable',
    })
    const { stdout } = await finishCommandLine(['explain', jwtText], env)
    expect(stdout).toMatch(/^login +unknown: the claim is invalid$/m)
    expect(stdout).toMatch(/^verdict +unknown: .* a claim is invalid$/m)
    await storeLogout(NOW - 300, null)
    expect(await runExplain(jwtText)).toMatchObject({ revoked: true, reason: 'login_unknown' })
  })

  test('explain prints that the policy comes from the environment of the command', async () => {
    const { stdout } = await finishCommandLine(['explain', buildToken()], env)
    expect(stdout).toMatch(/^policy +session \(from this environment\): logouts of this session/m)
  })

  test('explain reads an authorization header with line breaks from standard input', async () => {
    const input = `Authorization: Bearer ${buildToken().replace('.', '.\n')}\n`
    const { code, stdout } = await finishCommand(['explain', '-', '--json'], env, { input })
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ subject: 'auth0|1', reason: 'no_logout' })
  })

  test('explain exits with 1 if it is interrupted before it has read the token', async () => {
    const readInput = () => Promise.reject(abortedError())
    const context = { readInput, stop: AbortSignal.abort() }
    const { code, stdout, stderr } = await finishCommandLine(['explain', '-'], env, { context })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toBe(
      'last-logout: The command was interrupted before it had finished: run it again.\n',
    )
  })

  test('explain uses the namespace of --namespace and the policy of POLICY', async () => {
    await storeLogout(NOW - 300, 'S2')
    env.POLICY = 'user'
    const jwtText = buildToken({ 'https://api.example/session_id': 'S9' })
    // The login claim of the token has another namespace. Therefore `iat` counts, which is after the logout.
    expect(await runExplain(jwtText, '--namespace', 'https://api.example/')).toMatchObject({
      session_id: 'S9',
      login_at_claim: 'iat',
      decided_by: 'user',
      reason: 'login_after_logout',
      policy: 'user',
    })
  })

  test.each(['https://api.example', 'api', ''])(
    'explain rejects the namespace %j with exit code 2, because the login Action adds no claims there',
    async (namespace) => {
      await storeLogout(NOW - 300, null)
      const args = ['explain', buildToken({ iat: NOW }), '--namespace', namespace]
      const { code, stdout, stderr } = await finishCommandLine(args, env)
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
      expect(stderr).toMatch(/^last-logout: --namespace must be a URL or URN that ends in \/ or :/)
    },
  )

  test('explain reports that a token has expired, and escapes control characters', async () => {
    // The control characters in `sub` clear a terminal.
    const { stdout } = await finishCommandLine(
      ['explain', buildToken({ exp: NOW - 1, sub: 'auth0|\u001b[2J' })],
      env,
    )
    expect(stdout).toMatch(/^expires .*: expired/m)
    expect(stdout).toMatch(/^subject +auth0\|\\u\{1b\}\[2J$/m)
  })

  const tokenPart = encode({ sub: 'auth0|secret' })
  test.each([
    ['empty', '', /is empty.*Paste the access token/],
    ['prose', 'what? no!', /not a JWT.*Paste the access token/],
    ['an opaque token', 'h5bKq0f9Wl2v', /opaque token.*audience/],
    [
      'an encrypted token',
      `${tokenPart}.${tokenPart}.${tokenPart}.${tokenPart}.${tokenPart}`,
      /encrypted token \(JWE\)/,
    ],
    ['a token whose parts are no JSON', 'aaaa.bbbb.cccc', /header or payload is no JSON/],
    ['a token of two parts', `${tokenPart}.${tokenPart}`, /not have three parts/],
    [
      'a token without a subject',
      encodeJwt({ iat: 1 }),
      /no usable sub.*Without a user, only the floor and the logout of the session/,
    ],
    ['a text of 70,000 characters', 'a'.repeat(70_000), /longer than/],
  ])(
    'explain exits with 2 if the input is %s, and prints what to do, but no part of the input',
    async (_case, input, expectedError) => {
      const { code, stdout, stderr } = await finishCommandLine(['explain', '-'], env, { input })
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
      expect(stderr).toMatch(expectedError)
      if (input !== '') expect(stderr).not.toContain(input)
      // Four spaces and `at` begin a line of a stack.
      expect(stderr).not.toMatch(/ {4}at /)
    },
  )
})
