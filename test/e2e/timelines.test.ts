import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readActionFile } from '../../src/auth0/actions/code.js'
import type { Policy } from '../../src/rules/judge.js'
import { buildEntry } from '../../src/simulator/entries.js'
import { createClock } from '../_support/clock.js'
import { loadActionWithLog, type RunAction } from '../_support/run-action.js'
import {
  type IssuedTokens,
  isDenial,
  type SimulatedAuth0,
  type SimulatedAuth0Options,
  simulateAuth0,
} from '../_support/simulated-auth0.js'
import { LAG_MS, openWholeSystem, type WholeSystem } from '../_support/whole-system.js'

// Each test is a sequence of logins, exchanges and logouts of one user. Only Auth0 is simulated: the login Action, the
// service and the client in a resource server are real. All of them use the clock of the test.

/** The result of an exchange that the login Action denies because of a logout. */
const LOGGED_OUT = { denied: 'last_logout: the session was logged out' }
/** The result of an exchange that the Action denies because it does not know the time of the login. */
const UNKNOWN = { denied: expect.stringContaining('revocation status') }
/** The claim with the time of the login that the Action adds to tokens, in seconds since the epoch. */
const AUTHENTICATED_AT = 'https://last-logout/authenticated_at'
const SECOND_MS = 1_000
const MINUTE_MS = 60 * SECOND_MS

/** The fields that the event of the login Action has at an exchange, with an Enterprise plan of Auth0. */
const ENTERPRISE = { methods: true, refreshToken: true }
/** The event of the Action has only the field `event.authentication.methods`. */
const METHODS = { methods: true }

let actionCode: string
beforeAll(async () => {
  actionCode = await readActionFile()
})

describe.each<Policy>(['session', 'user'])('under POLICY=%s', (policy) => {
  const clock = createClock()
  let system: WholeSystem
  let runAction: RunAction
  let userId: string
  beforeAll(async () => {
    runAction = loadActionWithLog(actionCode, clock.now)
    system = await openWholeSystem(clock, { POLICY: policy })
  })
  afterAll(() => system.close())

  /** Simulates Auth0 for a new user, whose id `userId` then contains. By default, the tenant has the login Action. */
  function openAuth0(
    options: Partial<SimulatedAuth0Options> = {},
    secrets: Record<string, string> = {},
  ): SimulatedAuth0 {
    userId = `auth0|${randomUUID()}`
    const allSecrets = { ...system.secrets, ...secrets }
    return simulateAuth0({ tenant: system.tenant, runAction, secrets: allSecrets, ...options })
  }

  /** Advances the clock by `ms`, and reads the log. */
  async function passTime(ms = MINUTE_MS): Promise<void> {
    clock.pass(ms)
    await system.poll()
  }

  /** Whether the resource server accepts the token. Throws if Auth0 denied the token. */
  async function isAccepted(
    result: Awaited<ReturnType<SimulatedAuth0['refresh']>>,
  ): Promise<boolean> {
    if (isDenial(result)) throw new Error(`no tokens: ${result.denied}`)
    return system.accepts(result.claims)
  }

  /** Whether the resource server accepts each of the tokens, in order. */
  const areAccepted = (...tokens: IssuedTokens[]) => Promise.all(tokens.map(isAccepted))

  describe('an authorization that is started before the logout and finished after it', () => {
    test('the resource server refuses all tokens of a code that was issued before the logout', async () => {
      const auth0 = openAuth0({ exchangeFields: ENTERPRISE })
      const browser = auth0.openBrowser(userId)
      await browser.logIn()
      await passTime()
      const [code, codeOfOtherApp] = [
        await browser.authorize(),
        await browser.authorize('other app'),
      ]
      clock.pass(SECOND_MS)
      browser.logOut()
      clock.pass(SECOND_MS)
      const tokens = auth0.redeem(code)
      // The service has not read the logout yet.
      expect(await isAccepted(tokens)).toBe(true)
      await passTime()
      expect(await areAccepted(tokens, auth0.redeem(codeOfOtherApp))).toEqual([false, false])
      expect(await auth0.refresh(tokens)).toEqual(LOGGED_OUT)
    })

    test('the resource server refuses the tokens of a login page that was opened before the logout', async () => {
      const auth0 = openAuth0({ exchangeFields: ENTERPRISE })
      const browser = auth0.openBrowser(userId)
      await browser.logIn()
      const finishLogin = browser.beginLogin()
      await passTime()
      browser.logOut()
      clock.pass(SECOND_MS)
      const tokens = await finishLogin()
      expect(await isAccepted(tokens)).toBe(true)
      await passTime()
      expect(await isAccepted(tokens)).toBe(false)
      expect(await auth0.refresh(tokens)).toEqual(LOGGED_OUT)
    })

    test('without the Action, the resource server accepts the tokens of a code that was issued before the logout, like tokens of a new login', async () => {
      const auth0 = openAuth0({ runAction: null })
      const browser = auth0.openBrowser(userId)
      await browser.logIn()
      const code = await browser.authorize('other app')
      await passTime()
      browser.logOut()
      clock.pass(SECOND_MS)
      const tokens = auth0.redeem(code)
      await passTime()
      expect(await isAccepted(tokens)).toBe(true)
    })
  })

  describe('the exchange of an access token from before the logout', () => {
    /**
     * Exchanges a token twice after the logout: before the service knows the logout, and when it knows the logout.
     * Returns whether the token of the first exchange is accepted at the end, and the result of the second exchange.
     */
    async function exchangeTwice(auth0: SimulatedAuth0) {
      const browser = auth0.openBrowser(userId)
      const oldTokens = await browser.logIn()
      await passTime()
      browser.logOut()
      clock.pass(2 * SECOND_MS)
      const first = await auth0.exchangeToken(oldTokens)
      expect(await isAccepted(first)).toBe(true)
      await passTime()
      return {
        isFirstAccepted: await isAccepted(first),
        second: await auth0.exchangeToken(oldTokens),
      }
    }

    test('if the event contains the time of the login, the Action denies a later exchange, and the token of an earlier exchange is refused', async () => {
      const { isFirstAccepted, second } = await exchangeTwice(
        openAuth0({ exchangeFields: METHODS }),
      )
      expect(isFirstAccepted).toBe(false)
      expect(second).toEqual(LOGGED_OUT)
    })

    test('if the event does not contain the time of the login, LAST_LOGOUT_ON_ERROR decides whether the Action denies an exchange', async () => {
      // The default is `allow`.
      const { isFirstAccepted, second } = await exchangeTwice(openAuth0())
      expect(isFirstAccepted).toBe(true)
      expect(await isAccepted(second)).toBe(true)
      const withDeny = await exchangeTwice(openAuth0({}, { LAST_LOGOUT_ON_ERROR: 'deny' }))
      expect(withDeny).toEqual({ isFirstAccepted: true, second: UNKNOWN })
    })

    test('without the Action, an exchange is allowed', async () => {
      const { isFirstAccepted, second } = await exchangeTwice(openAuth0({ runAction: null }))
      expect(isFirstAccepted).toBe(true)
      expect(await isAccepted(second)).toBe(true)
    })
  })

  describe('a refresh between the logout and the poll', () => {
    test.each([
      ['Enterprise fields', ENTERPRISE],
      ['methods', METHODS],
      ['the session', { session: true }],
    ])(
      'if the event contains %s, a refreshed token is accepted until the poll that reads the logout (pitfall 24)',
      async (_name, exchangeFields) => {
        const auth0 = openAuth0({ exchangeFields })
        const browser = auth0.openBrowser(userId)
        const first = await browser.logIn()
        await passTime()
        browser.logOut()
        // The entry of the logout is visible only after `LAG_MS`.
        await passTime(LAG_MS - 1)
        const refreshed = await auth0.refresh(first)
        expect(await isAccepted(refreshed)).toBe(true)
        await passTime(1)
        expect(await isAccepted(refreshed)).toBe(false)
        expect(await auth0.refresh(first)).toEqual(LOGGED_OUT)
      },
    )

    test('a refreshed token contains the time of the login, not the time of the refresh (pitfall 24)', async () => {
      const auth0 = openAuth0({ exchangeFields: ENTERPRISE })
      const first = await auth0.openBrowser(userId).logIn()
      const loginAt = clock.now() / 1000
      await passTime()
      expect(await auth0.refresh(first)).toMatchObject({
        claims: { [AUTHENTICATED_AT]: loginAt, iat: Math.floor(clock.now() / 1000) },
      })
    })

    test('a refreshed token is refused because of its session even if the refresh token rotates', async () => {
      const auth0 = openAuth0({ exchangeFields: ENTERPRISE, rotatesRefreshTokens: true })
      const browser = auth0.openBrowser(userId)
      const first = await browser.logIn()
      await passTime()
      browser.logOut()
      clock.pass(SECOND_MS)
      const refreshed = (await auth0.refresh(first)) as IssuedTokens
      await passTime()
      expect(await isAccepted(refreshed)).toBe(false)
      expect(await auth0.refresh(refreshed)).toEqual(LOGGED_OUT)
    })
  })

  test('a logout ends the tokens of all apps of a session, and the tokens of the next login are accepted', async () => {
    const auth0 = openAuth0({ exchangeFields: ENTERPRISE })
    const browser = auth0.openBrowser(userId)
    const [orders, mail] = [await browser.logIn('orders'), await browser.logInSilently('mail')]
    await passTime()
    expect(await areAccepted(orders, mail)).toEqual([true, true])
    browser.logOut()
    await passTime()
    expect(await areAccepted(orders, mail)).toEqual([false, false])
    expect(await auth0.refresh(orders, 'orders')).toEqual(LOGGED_OUT)
    expect(await auth0.refresh(mail, 'mail')).toEqual(LOGGED_OUT)
    await expect(browser.logInSilently('mail')).rejects.toThrow('login_required')

    const newTokens = [await browser.logIn('orders'), await browser.logInSilently('mail')]
    expect(await areAccepted(...newTokens)).toEqual([true, true])
    await passTime()
    for (const tokens of newTokens) expect(await isAccepted(await auth0.refresh(tokens))).toBe(true)
  })

  test('a new login makes no revoked token valid again, on any device (pitfall 26)', async () => {
    const auth0 = openAuth0({ exchangeFields: ENTERPRISE })
    const [a, b] = [auth0.openBrowser(userId), auth0.openBrowser(userId)]
    const oldTokens = [await a.logIn(), await b.logIn()]
    await passTime()
    a.logOut({ session: false })
    await passTime()
    expect(await areAccepted(...oldTokens)).toEqual([false, false])
    const newTokens = await a.logIn()
    // `s` is the log entry of a login.
    system.tenant.write(buildEntry('s', { userId, sessionId: 'of the login' }))
    await passTime()
    expect(await areAccepted(...oldTokens, newTokens)).toEqual([false, false, true])
    for (const tokens of oldTokens) expect(await auth0.refresh(tokens)).toEqual(LOGGED_OUT)
  })

  describe('an entry without a session id', () => {
    test('an entry without a session id revokes the tokens of all sessions, but a silent login in an active Auth0 session gets valid tokens', async () => {
      const auth0 = openAuth0({ exchangeFields: ENTERPRISE })
      const [a, b] = [auth0.openBrowser(userId), auth0.openBrowser(userId)]
      const [onA, onB] = [await a.logIn(), await b.logIn()]
      await passTime()
      a.logOut({ session: false })
      await passTime()
      expect(await areAccepted(onA, onB)).toEqual([false, false])
      expect(await auth0.refresh(onA)).toEqual(LOGGED_OUT)
      expect(await auth0.refresh(onB)).toEqual(LOGGED_OUT)
      const silent = await b.logInSilently()
      expect(await isAccepted(silent)).toBe(true)
      expect(await isAccepted(await auth0.refresh(silent))).toBe(true)
    })

    test('an entry without a session id does not revoke a refresh token that was issued between the logout and the poll', async () => {
      const auth0 = openAuth0({ exchangeFields: ENTERPRISE })
      const browser = auth0.openBrowser(userId)
      await browser.logIn()
      await passTime()
      const code = await browser.authorize()
      clock.pass(SECOND_MS)
      browser.logOut({ session: false })
      clock.pass(SECOND_MS)
      const tokens = auth0.redeem(code)
      await passTime()
      // The login in the access token is the time of the authorization, which was before the logout.
      expect(await isAccepted(tokens)).toBe(false)
      // At a refresh, the login is the time at which the refresh token was issued, which was after the logout.
      expect(await isAccepted(await auth0.refresh(tokens))).toBe(true)
    })
  })

  describe('an slo entry without a user', () => {
    test('an slo entry with only a session id revokes only the tokens of this session (pitfall 27)', async () => {
      const auth0 = openAuth0({ exchangeFields: ENTERPRISE })
      const [a, b] = [auth0.openBrowser(userId), auth0.openBrowser(userId)]
      const [onA, onB] = [await a.logIn(), await b.logIn()]
      await passTime()
      a.logOut({ user: false })
      await passTime()
      expect(await areAccepted(onA, onB)).toEqual([false, true])
      expect(await auth0.refresh(onA)).toEqual(LOGGED_OUT)
      expect(await isAccepted(await auth0.refresh(onB))).toBe(true)
    })

    test('an slo entry with only a session id does not revoke tokens without a session', async () => {
      // Without the Action, tokens have no session.
      const auth0 = openAuth0({ runAction: null })
      const browser = auth0.openBrowser(userId)
      const tokens = await browser.logIn()
      await passTime()
      browser.logOut({ user: false })
      await passTime()
      expect(await isAccepted(tokens)).toBe(true)
    })

    test('an slo entry with neither id is stored as unattributable, and the other logouts of the page apply', async () => {
      const auth0 = openAuth0({ exchangeFields: ENTERPRISE })
      const [a, b] = [auth0.openBrowser(userId), auth0.openBrowser(userId)]
      const [onA, onB] = [await a.logIn(), await b.logIn()]
      await passTime()
      const { unattributable: countsBefore } = await system.count()
      a.logOut({ user: false, session: false })
      b.logOut()
      system.tenant.write(buildEntry('slo', { userId: 'auth0|after', sessionId: 'S' }))
      await passTime()
      const { unattributable } = await system.count()
      expect(unattributable.no_subject).toBe((countsBefore.no_subject ?? 0) + 1)
      // The logout of A names neither user nor session, so it ends no token. The logout of B ends the tokens of B and,
      // if the policy is `user`, also the tokens of A.
      expect(await areAccepted(onA, onB)).toEqual([policy === 'session', false])
      const claims = { sub: 'auth0|after', iat: clock.now() / 1000 - 120 }
      expect(await system.accepts(claims)).toBe(false)
    })
  })

  describe('a second browser of the same user', () => {
    /** Logs in on two browsers, logs out on the first browser, and reads the log. */
    async function logOutOnFirst(auth0: SimulatedAuth0) {
      const [first, second] = [auth0.openBrowser(userId), auth0.openBrowser(userId)]
      await first.logIn()
      const tokensOfSecond = await second.logIn()
      await passTime()
      first.logOut()
      await passTime()
      return { second, tokensOfSecond }
    }

    test(`with Enterprise fields, the second browser ${policy === 'session' ? 'is unaffected' : 'continues after a silent login'}`, async () => {
      const auth0 = openAuth0({ exchangeFields: ENTERPRISE })
      const { second, tokensOfSecond } = await logOutOnFirst(auth0)
      expect(await isAccepted(tokensOfSecond)).toBe(policy === 'session')
      const refreshed = await auth0.refresh(tokensOfSecond)
      if (policy === 'session') expect(await isAccepted(refreshed)).toBe(true)
      else expect(refreshed).toEqual(LOGGED_OUT)

      const silent = await second.logInSilently()
      expect(await isAccepted(silent)).toBe(true)
      await passTime()
      const refreshedSilent = await auth0.refresh(silent)
      expect(await areAccepted(silent, refreshedSilent as IssuedTokens)).toEqual([true, true])
    })

    test('if the event contains only methods, the second browser can log in silently, but can refresh only after an interactive login', async () => {
      const auth0 = openAuth0({ exchangeFields: METHODS })
      const { second } = await logOutOnFirst(auth0)
      const silent = await second.logInSilently()
      expect(await isAccepted(silent)).toBe(true)
      expect(await auth0.refresh(silent)).toEqual(LOGGED_OUT)
      const interactive = await second.logIn()
      await passTime()
      expect(await isAccepted(await auth0.refresh(interactive))).toBe(true)
    })
  })

  describe('a new login before the logout is known', () => {
    test('the token of the new login stays valid when the logout is known (pitfall 22)', async () => {
      const auth0 = openAuth0({ exchangeFields: ENTERPRISE })
      const browser = auth0.openBrowser(userId)
      const oldTokens = await browser.logIn()
      await passTime()
      browser.logOut()
      clock.pass(1)
      const newTokens = await browser.logIn()
      await passTime()
      expect(await areAccepted(oldTokens, newTokens)).toEqual([false, true])
      expect(await isAccepted(await auth0.refresh(newTokens))).toBe(true)
    })

    test('without the Action, the token of a login in the same second as the logout is refused, because iat has whole seconds (pitfall 22)', async () => {
      const auth0 = openAuth0({ runAction: null })
      const browser = auth0.openBrowser(userId)
      await browser.logIn()
      // Advances the clock to the beginning of a second.
      await passTime(MINUTE_MS - (clock.now() % SECOND_MS))
      clock.pass(500)
      browser.logOut()
      clock.pass(400)
      const sameSecond = await browser.logIn()
      clock.pass(100)
      const nextSecond = await browser.logIn()
      await passTime()
      expect(await areAccepted(sameSecond, nextSecond)).toEqual([false, true])
    })
  })
})
