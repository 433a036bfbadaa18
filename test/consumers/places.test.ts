import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readActionFile } from '../../src/auth0/actions/code.js'
import type { Claims } from '../../src/client/index.js'
import type { DemoUser } from '../../src/demo/logins.js'
import { AUDIENCE } from '../../src/demo/provider.js'
import type { Policy } from '../../src/rules/judge.js'
import { loadAction } from '../../src/simulator/run-action.js'
import { APP_CLIENT, APP_SECRET, type CookieApp, openCookieApp } from '../_support/cookie-app.js'
import { type CookieBrowser, openCookieBrowser } from '../_support/cookie-browser.js'
import { KEY } from '../_support/served-api.js'
import { openTenant } from '../_support/tenant.js'
import { writeBlock, writeDeletion } from '../_support/user-entries.js'
import { openWholeSystem, type WholeSystem } from '../_support/whole-system.js'
import {
  type FlowName,
  outcomeOf,
  PLACES,
  type Place,
  type PlaceOutcome,
  ROWS,
  renderPlaces,
  shouldAccessEnd,
  type Variant,
} from './place-rows.js'

/** The tokens of a login. `accessToken` is `null` if the login Action denied the last exchange. */
interface Tokens {
  accessToken: string | null
  idToken: string
  refreshToken: string
}

/** A browser of a logged-in user, with a live connection and the tokens of its login. */
interface Device {
  browser: CookieBrowser
  tokens: Tokens
  isConnected(): boolean
}

/** What a flow works with: a user who is logged in on the devices A and B. */
interface FlowContext {
  user: DemoUser
  a: Device
  b: Device
}

const GATEWAY_KEY = 'a-gateway-key-of-more-than-32-characters'
/** The users who can log in. Each test uses another user. */
const users: DemoUser[] = Array.from({ length: 200 }, () => {
  const userId = `auth0|${randomUUID()}`
  return { userId, userName: userId }
})
let unusedUsers = users

let app: CookieApp
let system: WholeSystem
/** The variant of the current test: whether the tenant has the login Action, and which fields the Action receives. */
let variant: Variant = 'noAction'

/** The flows, such as a logout. Each flow returns the device whose access the test then observes. */
const flows: Record<FlowName, (context: FlowContext) => Promise<Device>> = {
  async logoutOfA({ user, a }) {
    endSession(user, a)
    return a
  },
  async logoutOfAForB({ user, a, b }) {
    endSession(user, a)
    return b
  },
  async endpointLogoutOfA({ a }) {
    await logOutThroughEndpoint(a)
    return a
  },
  async endpointLogoutOfAForB({ a, b }) {
    await logOutThroughEndpoint(a)
    return b
  },
  async refreshBeforePoll({ user, a }) {
    endSession(user, a)
    return refresh(a)
  },
  async refreshAfterEndpointLogout({ a }) {
    await logOutThroughEndpoint(a)
    return refresh(a)
  },
  async newLogin({ user, a }) {
    await logOutThroughEndpoint(a)
    endSession(user, a)
    await system.poll()
    await waitForNextSecond()
    return logIn(a.browser)
  },
  async operatorLogout({ user, a }) {
    await system.reportLogout(user.userId)
    return a
  },
  async accountDeletion({ user, a }) {
    writeDeletion(system.tenant, user.userId)
    return a
  },
  async block({ user, a }) {
    writeBlock(system.tenant, user.userId, `auth0|${randomUUID()}`)
    return a
  },
}

/** Ends the session of a device at the simulated Auth0, which writes the log entry. Keeps the session of the app. */
function endSession(user: DemoUser, { browser, tokens }: Device): void {
  app.logins.logOut(user, String(decodeJwt(tokens.idToken).sid))
  for (const name of browser.cookies.keys()) {
    if (!name.startsWith('appSession')) browser.cookies.delete(name)
  }
}

/** Requests `/logout` of last-logout, but does not follow the redirect to Auth0. */
async function logOutThroughEndpoint({ browser, tokens }: Device): Promise<void> {
  const parameters = new URLSearchParams({
    id_token_hint: tokens.idToken,
    client_id: APP_CLIENT.clientId,
  })
  const { status, headers } = await browser.request(
    `${system.secrets.LAST_LOGOUT_URL}/logout?${parameters}`,
  )
  expect(status).toBe(303)
  expect(headers.get('location')).toBe(`${app.issuer}/oidc/logout?${parameters}`)
  await system.waitForDelivery()
}

/** Opens the app, logs in, and connects with the access token. */
async function logIn(browser: CookieBrowser): Promise<Device> {
  const response = await browser.visit(app.url)
  expect(await response.text()).toMatch(/^orders of/)
  return connect(browser, await readTokens(browser))
}

async function readTokens(browser: CookieBrowser): Promise<Tokens> {
  return (await browser.request(`${app.url}/tokens`)).json() as Promise<Tokens>
}

/** Opens a live connection with the access token. */
function connect(browser: CookieBrowser, tokens: Tokens): Device {
  let isConnected = tokens.accessToken !== null
  if (tokens.accessToken !== null) {
    const onRevoked = () => {
      isConnected = false
    }
    system.client.watch(decodeJwt(tokens.accessToken), { onRevoked })
  }
  return { browser, tokens, isConnected: () => isConnected }
}

/**
 * Waits for the next second. `iat` has no milliseconds, so a login in the same second as a logout counts as a login
 * before the logout.
 */
const waitForNextSecond = () =>
  new Promise((resolve) => setTimeout(resolve, 1_000 - (Date.now() % 1_000)))

/** Refreshes in the app. If the app has no session any more, exchanges the refresh token without the app. */
async function refresh({ browser, tokens }: Device): Promise<Device> {
  await waitForNextSecond()
  const { status } = await browser.request(`${app.url}/refresh`)
  if (status === 200) return connect(browser, await readTokens(browser))
  const response = await fetch(`${app.issuer}/oauth/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'refresh_token',
      refresh_token: tokens.refreshToken,
      client_id: APP_CLIENT.clientId,
      client_secret: APP_SECRET,
    }),
  })
  const body = (await response.json()) as { access_token?: string; error?: string }
  if (body.access_token === undefined) expect(body.error).toBe('access_denied')
  return connect(browser, { ...tokens, accessToken: body.access_token ?? null })
}

/** Returns for each place whether the device still has access. */
async function observeAccess({
  browser,
  tokens,
  isConnected,
}: Device): Promise<Record<Place, boolean>> {
  const { accessToken } = tokens
  const { status } = await browser.request(app.url)
  // The app redirects to the login if the session was logged out.
  expect([200, 302]).toContain(status)
  return {
    api: accessToken !== null && (await system.accepts(decodeJwt(accessToken) as Claims)),
    live: isConnected(),
    gateway: accessToken !== null && (await isAcceptedByGateway(accessToken)),
    cookie: status === 200,
  }
}

/** Returns whether gateways forward a request with the token. Expects forward-auth and introspection to agree. */
async function isAcceptedByGateway(token: string): Promise<boolean> {
  const url = system.secrets.LAST_LOGOUT_URL
  const forwarded = await fetch(`${url}/v1/forward-auth/orders`, {
    headers: { authorization: `Bearer ${token}`, 'x-last-logout-key': GATEWAY_KEY },
  })
  const introspected = await fetch(`${url}/v1/introspect`, {
    method: 'POST',
    headers: { authorization: `Bearer ${GATEWAY_KEY}` },
    body: new URLSearchParams({ token }),
  })
  const { active } = (await introspected.json()) as { active: boolean }
  expect(forwarded.status).toBe(active ? 204 : 401)
  return active
}

/** Returns the outcome in a place, by the access before and after the poll that reads the log entry of the flow. */
function classify(
  place: Place,
  shouldEnd: boolean,
  isOpenBeforePoll: boolean,
  isOpenAfterPoll: boolean,
): PlaceOutcome {
  if (!shouldEnd) return isOpenBeforePoll && isOpenAfterPoll ? 'unaffected' : 'wrongly refused'
  if (!isOpenBeforePoll) return 'closed at once'
  if (!isOpenAfterPoll) return 'closed after the poll'
  return place === 'cookie' ? 'open until the session expires' : 'open until `exp`'
}

describe.each<Policy>(['session', 'user'])('under POLICY=%s', (policy) => {
  beforeAll(async () => {
    const runAction = loadAction(await readActionFile(), { now: Date.now, onLogLine: () => {} })
    const testTenant = await openTenant()
    const secrets: Record<string, string> = {}
    app = await openCookieApp({
      tenant: testTenant.tenant,
      users,
      secrets,
      enterprise: true,
      action: async (event, api) => {
        if (variant !== 'noAction') await runAction(selectFields(variant, event), api)
      },
    })
    system = await openWholeSystem(
      { now: Date.now },
      {
        POLICY: policy,
        API_KEYS: `test:${KEY}:read+feed+logout,gateway:${GATEWAY_KEY}:introspect+forward-auth`,
        TOKEN_ISSUER: app.issuer,
        TOKEN_JWKS_URL: `${app.issuer}/.well-known/jwks.json`,
        TOKEN_AUDIENCES: `gateway=${AUDIENCE}`,
        LOGOUT_ENDPOINT: 'true',
      },
      testTenant,
    )
    Object.assign(secrets, system.secrets)
    await app.serve(system.client)
  })
  afterAll(async () => {
    await system.close()
    await app.close()
  })

  const testCases = ROWS.flatMap((row) => row.variants.map((variant) => ({ row, variant }))).map(
    (testCase) =>
      [
        // ³ is the mark of a footnote.
        `${testCase.row.title.replace(' ³', '')}, in the variant ${testCase.variant}`,
        testCase,
      ] as const,
  )
  test.each(testCases)('%s', async (_title, { row, variant: variantOfTest }) => {
    variant = variantOfTest
    const [user, ...otherUsers] = unusedUsers
    if (user === undefined) throw new Error('there are too few users')
    unusedUsers = otherUsers
    const a = await logIn(openCookieBrowser(user.userId))
    const b = await logIn(openCookieBrowser(user.userId))
    await system.poll()
    for (const device of [a, b]) {
      expect(await observeAccess(device)).toEqual({
        api: true,
        live: true,
        gateway: true,
        cookie: true,
      })
    }

    const device = await flows[row.flow]({ user, a, b })
    await system.waitForDelivery()
    const accessBeforePoll = await observeAccess(device)
    await system.poll()
    const accessAfterPoll = await observeAccess(device)
    for (const place of Object.keys(PLACES) as Place[]) {
      const expected = outcomeOf(row.cells[place], policy)
      const outcome = classify(
        place,
        shouldAccessEnd(expected),
        accessBeforePoll[place],
        accessAfterPoll[place],
      )
      expect(outcome, PLACES[place]).toBe(expected)
    }
  })
})

/** Returns the event of the Action with only those fields that it has in the variant at an exchange. */
function selectFields(variant: Variant, event: object): object {
  const { authentication, refresh_token, ...fields } = event as Record<string, unknown>
  const { protocol } = fields.transaction as { protocol: string }
  if (protocol !== 'oauth2-refresh-token' || variant === 'enterprise') return event
  return variant === 'methods' ? { ...fields, authentication } : fields
}

test('docs/login-action.md shows the table of places', async () => {
  expect(await readFile('docs/login-action.md', 'utf8')).toContain(`\n\n${renderPlaces()}\n`)
})
