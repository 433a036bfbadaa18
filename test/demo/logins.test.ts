import { expect, test } from 'vitest'
import { createLogins } from '../../src/demo/logins.js'
import { createTenant } from '../../src/simulator/tenant.js'

const USER = { userId: 'auth0|demo-user-1', userName: 'demo-user-1@example.com' }
const APPLICATION = { clientId: 'client', clientName: 'Order desk' }
/** A login with credentials. */
const LOGIN = {
  user: USER,
  application: APPLICATION,
  sessionId: 'S1',
  loginTs: 1,
  isSilent: false,
}

/** The part of an Action's API that the Action of this test uses. */
interface ActionApi {
  accessToken: { setCustomClaim(name: string, value: string): void }
  access: { deny(reason: string): void }
}

/** Opens logins with an Action that records its events, and denies an exchange if `denial` is set. */
function openLogins(enterprise: boolean) {
  const tenant = createTenant({ domain: 'acme.eu.auth0.com', lagMs: () => 0 })
  const events: { transaction: { protocol: string }; [field: string]: unknown }[] = []
  const state = { denial: '' }
  const logins = createLogins({
    tenant,
    secrets: { LAST_LOGOUT_URL: 'http://127.0.0.1:1' },
    enterprise,
    async action(event, api) {
      events.push(event as (typeof events)[number])
      const { accessToken, access } = api as ActionApi
      accessToken.setCustomClaim('https://last-logout/session_id', 'S1')
      if (state.denial !== '') access.deny(state.denial)
    },
  })
  return { logins, events, state, tenant }
}

test.each([
  ['with', true],
  ['without', false],
])(
  'the Action gets the refresh token at an exchange on a plan %s Enterprise fields: %s',
  async (_plan, enterprise) => {
    const { logins, events } = openLogins(enterprise)
    await logins.logIn('grant', LOGIN)
    expect(await logins.refresh('grant')).toBe(null)
    const [login, exchange] = events
    expect(login).toMatchObject({
      transaction: { protocol: 'oidc-basic-profile' },
      session: { id: 'S1' },
    })
    expect(exchange).toMatchObject({ transaction: { protocol: 'oauth2-refresh-token' } })
    expect('refresh_token' in (exchange ?? {})).toBe(enterprise)
    expect(logins.claimsOf('grant').accessToken).toEqual({ 'https://last-logout/session_id': 'S1' })
  },
)

test('a silent login keeps the time at which the user entered credentials', async () => {
  const { logins, events } = openLogins(false)
  await logins.logIn('one', LOGIN)
  await logins.logIn('two', { ...LOGIN, isSilent: true })
  expect(events[1]?.authentication).toEqual(events[0]?.authentication)
})

test('an exchange is refused if the Action denies it, or if the login is unknown', async () => {
  const { logins, state } = openLogins(true)
  await logins.logIn('grant', LOGIN)
  state.denial = 'last_logout: the session was logged out'
  expect(await logins.refresh('grant')).toBe(state.denial)
  expect(await logins.refresh('other')).toBe('unknown login')
})

test('the entry of a logout names the application that requested the logout, or no application', async () => {
  const { logins, tenant } = openLogins(false)
  logins.logOut(USER, 'S1', APPLICATION)
  logins.logOut(USER, 'S2')
  const clientIds = tenant.entries().map(({ client_id }) => client_id)
  expect(clientIds).toEqual([APPLICATION.clientId, undefined])
})
