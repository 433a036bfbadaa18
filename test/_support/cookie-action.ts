import type { Action } from '../../src/simulator/run-action.js'

/** The login Action of the tests of cookie sessions. A test changes its properties. */
export interface CookieAction {
  /** The reason with which an exchange of a refresh token is denied. Empty: the exchange is allowed. */
  denial: string
  /** A claim that makes the session longer than one cookie. */
  padding: string
  /** Runs before an exchange of a refresh token is allowed or denied. */
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

/** Creates an Action that sets the claim of the session, and allows every exchange. */
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

/** Waits until the next second begins. A login in the same second as a logout counts as before the logout. */
export const nextSecond = () =>
  new Promise((resolve) => setTimeout(resolve, 1_000 - (Date.now() % 1_000)))
