import { claimNames } from '../rules/token.js'
import { type CheckContext, checkWithLookup, checkWithoutRequest } from './check.js'
import { createClaimReport } from './claim-report.js'
import type { Decision } from './decision.js'
import { createFeedSubscriber } from './feed-subscriber.js'
import { createLogoutCache } from './logout-cache.js'
import { createLookup } from './lookup.js'
import { type LastLogoutClientOptions, readOptions } from './options.js'

/** Verified claims of an access token. */
export type Claims = Record<string, unknown>

/** Checks whether access tokens were revoked by a logout. */
export interface LastLogoutClient {
  /**
   * Checks a token by its claims. It uses the logouts in memory, and sends a request only if the login is older than
   * they reach, or with `lookup: 'request'` if no cached response is available. Never rejects.
   *
   * @param claims The claims of a token whose signature, issuer, audience and expiry the caller has verified.
   */
  check(claims: Claims): Promise<Decision>
  /** Checks a token without a request. If one is needed, the outcome is `unknown` with the reason `lookup_needed`. */
  checkNow(claims: Claims): Decision
  /**
   * Resolves when the logouts that the service knows are loaded, even if its data is stale.
   *
   * @throws `LastLogoutClientError` with the code `UNAUTHORIZED` if the service rejects the key; the client keeps
   *   trying. With the code `CLOSED` if the client is closed.
   */
  ready(): Promise<void>
  /** Ends the connection. Checks continue to use the logouts in memory until these are stale. */
  close(): Promise<void>
}

/**
 * Creates a client. With `lookup: 'feed'` it connects to the service at once, and again whenever the connection breaks.
 *
 * @throws `TypeError` for an invalid option.
 * @example
 * const lastLogout = createLastLogoutClient({ url, apiKey, onUnknown: 'deny' })
 * const { allowed, outcome, reason } = await lastLogout.check(claims)
 */
export function createLastLogoutClient(options: LastLogoutClientOptions): LastLogoutClient {
  const settings = readOptions(options)
  const cache = createLogoutCache()
  const feed = settings.lookup === 'feed' ? createFeedSubscriber(settings, cache) : null
  const context: CheckContext = {
    settings,
    names: claimNames(settings.namespace),
    reportClaims: createClaimReport(settings.onError),
    lookup: createLookup(settings),
    cache,
    feed,
  }
  const report = (decision: Decision, claims: Claims) => {
    settings.onDecision?.(decision, claims)
    return decision
  }
  return {
    check: async (claims) => report(await checkWithLookup(context, claims), claims),
    checkNow: (claims) => report(checkWithoutRequest(context, claims), claims),
    ready: async () => feed?.ready(),
    close: async () => feed?.close(),
  }
}
