import type { Action } from '../../src/simulator/run-action.js'

/**
 * A login Action for the tests of cookie sessions. Auth0 runs it at each login and each exchange of a refresh token.
 * Tests change its properties.
 */
export interface CookieAction {
  /** The reason with which the Action denies an exchange of a refresh token. Empty: the Action allows the exchange. */
  denial: string
  /** The value of a claim. A long value makes the session too long for one cookie. */
  padding: string
  /** Runs before the Action allows or denies an exchange. */
  beforeRefresh(): Promise<void>
  run: Action
}

interface ActionEvent {
  transaction: { protocol: string }
  session?: { id: string }
}

interface ActionApi {
  idToken: { setCustomClaim(name: string, value: unknown): void }
  access: { deny(reason: string): void }
}

/** Creates an Action that sets the claim with the session id, and allows every exchange. */
export function createCookieAction(): CookieAction {
  const action: CookieAction = {
    denial: '',
    padding: '',
    beforeRefresh: async () => {},
    async run(event, api) {
      const { transaction, session } = event as ActionEvent
      const { idToken, access } = api as ActionApi
      if (session) idToken.setCustomClaim('https://last-logout/session_id', session.id)
      idToken.setCustomClaim('https://last-logout/last_logout', action.padding)
      if (transaction.protocol !== 'oauth2-refresh-token') return
      await action.beforeRefresh()
      if (action.denial !== '') access.deny(action.denial)
    },
  }
  return action
}

/**
 * Waits until the next second begins. Tests wait between a logout and a login: a login in the same second counts as
 * before the logout.
 */
export const waitForNextSecond = () =>
  new Promise((resolve) => setTimeout(resolve, 1_000 - (Date.now() % 1_000)))
