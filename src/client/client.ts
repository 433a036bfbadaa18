import { claimNames } from '../rules/token.js'
import { type CheckContext, checkWithLookup, checkWithoutRequest } from './check.js'
import { createClaimReport } from './claim-report.js'
import { systemClocks } from './clocks.js'
import type { Decision } from './decision.js'
import { createFeedSubscriber } from './feed-subscriber.js'
import { createFirstLoad } from './first-load.js'
import { createLogoutCache } from './logout-cache.js'
import { createLookup } from './lookup.js'
import { type ClientSettings, type LastLogoutClientOptions, readOptions } from './options.js'
import { createOutageReport } from './outage-report.js'
import { createStalenessCheck } from './staleness.js'

/** Verified claims of an access token. */
export type Claims = Record<string, unknown>

/** The likely cause if the data was fresh when the service sent it, but is stale now. */
const FEED_DELAY_CAUSE =
  'nothing newer has arrived. Check the connection to the service, and that no proxy buffers the change feed.'
const LOOKUP_DELAY_CAUSE = 'the cached response is that old. Set cacheMs lower than maxStalenessMs.'

/** The cache of a client without a subscription. It is always empty, and needs no random key. */
const NO_CACHE: CheckContext['cache'] = {
  find: () => ({ user: null, session: null, floorAt: null }),
}

/** Checks whether access tokens were revoked by a logout. */
export interface LastLogoutClient {
  /**
   * Checks a token by its claims. Uses the logouts in memory, and sends a request only if the login is before the time
   * since which the memory contains all logouts. With `lookup: 'request'`, it sends a request unless a cached response is
   * available. The promise never rejects.
   *
   * @param claims The claims of a token whose signature, issuer, audience and expiry the caller has verified.
   */
  check(claims: object): Promise<Decision>
  /** Checks a token without a request. If a request is needed, the outcome is `unknown`, for the reason `lookup_needed`. */
  checkNow(claims: object): Decision
  /**
   * Resolves when all logouts that the service knows are loaded, even if the data of the service is stale. With
   * `connect: 'lazy'`, this call connects the client.
   *
   * @throws `LastLogoutClientError` with the code `UNAUTHORIZED` if the service rejects the key (the client continues to
   *   retry), or with the code `CLOSED` if the client is closed.
   */
  ready(): Promise<void>
  /** Ends the connection. Checks continue to use the logouts in memory until this data is stale. */
  close(): Promise<void>
}

/**
 * Creates a client. With `lookup: 'feed'`, the client connects to the service at once, and again whenever the connection
 * breaks. With `connect: 'lazy'`, it first connects with the first check. With `lookup: 'request'`, it creates no timer
 * and no random number, because some runtimes forbid both at the top level of a module.
 *
 * @throws `TypeError` for an invalid option.
 * @example
 * const lastLogout = createLastLogoutClient({ url, apiKey, onUnknown: 'deny' })
 * const { allowed, outcome, reason } = await lastLogout.check(claims)
 */
export function createLastLogoutClient(options: LastLogoutClientOptions): LastLogoutClient {
  const settings = readOptions(options)
  const subscription = settings.lookup === 'feed' ? subscribe(settings) : null
  const feed = subscription?.feed ?? null
  const context: CheckContext = {
    settings,
    names: claimNames(settings.namespace),
    reportClaims: createClaimReport(settings.onError),
    lookup: createLookup(settings),
    lookupOutage: createOutageReport(settings.onError, systemClocks),
    isLookupStale: createStalenessCheck(settings, systemClocks, LOOKUP_DELAY_CAUSE),
    isFeedStale: createStalenessCheck(settings, systemClocks, FEED_DELAY_CAUSE),
    cache: subscription?.cache ?? NO_CACHE,
    feed,
    firstLoad: subscription?.firstLoad ?? null,
  }
  const report = (decision: Decision, claims: object) => {
    settings.onDecision?.(decision, claims as Claims)
    return decision
  }
  return {
    check: async (claims) => report(await checkWithLookup(context, claims), claims),
    checkNow: (claims) => report(checkWithoutRequest(context, claims), claims),
    ready: async () => feed?.ready(),
    close: async () => feed?.close(),
  }
}

/** Creates a cache and its subscriber, which connects at once, or with the first check if `connect` is `lazy`. */
function subscribe(settings: ClientSettings) {
  const cache = createLogoutCache()
  const feed = createFeedSubscriber(settings, cache)
  if (settings.connect === 'lazy') {
    return { cache, feed, firstLoad: createFirstLoad(feed, settings.timeoutMs) }
  }
  feed.start()
  return { cache, feed, firstLoad: null }
}
