import { claimNames } from '../rules/token.js'
import { type CheckContext, checkWithLookup, checkWithoutRequest } from './check.js'
import { createClaimReport } from './claim-report.js'
import { systemClocks } from './clocks.js'
import type { Decision } from './decision.js'
import { createFeedSubscriber, type FeedSubscriber } from './feed-subscriber.js'
import { createFirstLoad } from './first-load.js'
import { createLogoutCache, type LogoutCache } from './logout-cache.js'
import { createLogoutListeners, type LogoutListener } from './logout-listeners.js'
import { createLookup } from './lookup.js'
import { type ClientSettings, type LastLogoutClientOptions, readOptions } from './options.js'
import { createOutageReport } from './outage-report.js'
import type { ReceivedChange } from './received-change.js'
import { createStalenessCheck } from './staleness.js'
import { createWatcher } from './watch.js'
import type { WatchOptions } from './watch-review.js'

/** Verified claims of an access token. */
export type Claims = Record<string, unknown>

/** The likely cause if the data of the feed was fresh when the service sent the data, but is stale now. */
const FEED_DELAY_CAUSE =
  'nothing newer has arrived. Check the connection to the service, and that no proxy buffers the change feed.'

/** The likely cause if a cached response was fresh when the service sent the response, but is stale now. */
const LOOKUP_DELAY_CAUSE = 'the cached response is that old. Set cacheMs lower than maxStalenessMs.'

/**
 * The empty cache of a client without a subscription. {@link createLogoutCache} would need a random number, which some
 * runtimes forbid at the top level of a module.
 */
const NO_CACHE: CheckContext['cache'] = {
  find: () => ({ user: null, session: null, floorAt: null }),
}

/** Checks whether access tokens were revoked by a logout. */
export interface LastLogoutClient {
  /**
   * Checks a token by its claims. The promise never rejects.
   *
   * With `lookup: 'feed'`, the check uses the logouts in memory. It sends a request only if the memory does not contain
   * all logouts since the login. With `lookup: 'request'`, it uses a cached response or sends a request.
   *
   * @param claims The claims of a token whose signature, issuer, audience and expiry the caller has verified.
   */
  check(claims: object): Promise<Decision>
  /**
   * Checks a token without a request. If a request is needed, the outcome is `unknown`, with the reason
   * `lookup_needed`.
   */
  checkNow(claims: object): Decision
  /**
   * Resolves when the client has loaded the logouts from the service, even if the data of the service is stale. With
   * `connect: 'lazy'`, this call connects the client.
   *
   * @throws `LastLogoutClientError` with one of these codes:
   *
   *   - `UNAUTHORIZED`: the service rejects the key. The client continues to retry.
   *   - `CLOSED`: the client is closed.
   */
  ready(): Promise<void>
  /**
   * Watches the token of a connection that stays open, such as a WebSocket. Calls `onRevoked` at most once, when the
   * connection must end. With `mode: 'observe'`, it only reports the decision to `onDecision`.
   *
   * @param claims The claims of a token that a check has accepted.
   * @returns A function that ends the watch.
   * @throws `TypeError` for invalid arguments, and with `lookup: 'request'`.
   * @example
   * const stop = client.watch(claims, { onRevoked: ({ outcome }) => connection.end(outcome) })
   * connection.once('close', stop)
   */
  watch(claims: object, options: WatchOptions): () => void
  /**
   * Calls a listener with each new logout, and with each logout of the first load. Checks already consider the logout
   * when the listener is called. `onError` receives the errors of the listener.
   *
   * @returns A function that removes the listener.
   * @throws `TypeError` if the listener is no function, and with `lookup: 'request'`.
   */
  onLogout(listener: LogoutListener): () => void
  /**
   * Ends the connection to the service and all watches. Until the logouts in memory are stale, checks continue to use
   * them.
   */
  close(): Promise<void>
}

/**
 * Creates a client.
 *
 * - With `lookup: 'feed'`, the client connects to the service at once, or at the first check if `connect` is `lazy`. It
 *   reconnects when the connection breaks.
 * - With `lookup: 'request'`, creating the client starts no timer and uses no random number. Some runtimes forbid both
 *   at the top level of a module.
 *
 * @throws `TypeError` for an invalid option.
 * @example
 * const lastLogout = createLastLogoutClient({ url, apiKey, onUnknown: 'deny' })
 * const { allowed, outcome, reason } = await lastLogout.check(claims)
 */
export function createLastLogoutClient(options: LastLogoutClientOptions): LastLogoutClient {
  const settings = readOptions(options)
  const listeners = createLogoutListeners(settings.onError)
  const subscription = settings.lookup === 'feed' ? subscribe(settings, onNewLogout) : null
  const feed = subscription?.feed ?? null
  const context = createCheckContext(settings, subscription)
  const watcher = feed === null ? null : createWatcher({ ...context, feed })

  function onNewLogout(change: ReceivedChange): void {
    watcher?.applyChange(change)
    listeners.notify(change)
  }

  function report(decision: Decision, claims: object): Decision {
    settings.onDecision?.(decision, claims as Claims)
    return decision
  }

  return {
    check: async (claims) => report(await checkWithLookup(context, claims), claims),
    checkNow: (claims) => report(checkWithoutRequest(context, claims), claims),
    ready: async () => feed?.ready(),
    watch(claims, watchOptions) {
      if (watcher === null) throw receivesNoLogouts('watch')
      return watcher.watch(claims, watchOptions)
    },
    onLogout(listener) {
      if (watcher === null) throw receivesNoLogouts('onLogout')
      if (typeof listener !== 'function') {
        throw new TypeError('client.onLogout: the listener must be a function')
      }
      return listeners.add(listener)
    },
    async close() {
      watcher?.close()
      await feed?.close()
    },
  }
}

function createCheckContext(
  settings: ClientSettings,
  subscription: Subscription | null,
): CheckContext {
  return {
    settings,
    names: claimNames(settings.namespace),
    reportClaims: createClaimReport(settings.onError),
    lookup: createLookup(settings),
    lookupOutage: createOutageReport(settings.onError, systemClocks),
    isLookupStale: createStalenessCheck(settings, systemClocks, LOOKUP_DELAY_CAUSE),
    isFeedStale: createStalenessCheck(settings, systemClocks, FEED_DELAY_CAUSE),
    cache: subscription?.cache ?? NO_CACHE,
    feed: subscription?.feed ?? null,
    firstLoad: subscription?.firstLoad ?? null,
  }
}

/** A cache of logouts, and the subscriber that keeps the cache up to date. */
interface Subscription {
  cache: LogoutCache
  feed: FeedSubscriber
  firstLoad: CheckContext['firstLoad']
}

/**
 * Creates a subscription. It connects at once, or at the first check if `connect` is `lazy`.
 *
 * @param onNewLogout Called with each change that was new to the cache, after the cache has merged the change.
 */
function subscribe(
  settings: ClientSettings,
  onNewLogout: (change: ReceivedChange) => void,
): Subscription {
  const cache = createLogoutCache()
  const merge = (change: ReceivedChange) => {
    const isNew = cache.merge(change)
    if (isNew) onNewLogout(change)
    return isNew
  }
  const feed = createFeedSubscriber(settings, { ...cache, merge })
  if (settings.connect === 'lazy') {
    return { cache, feed, firstLoad: createFirstLoad(feed, settings.timeoutMs) }
  }
  feed.start()
  return { cache, feed, firstLoad: null }
}

function receivesNoLogouts(method: string): TypeError {
  return new TypeError(
    `client.${method}: a client with lookup: 'request' receives no logouts. Create the client with lookup: 'feed'`,
  )
}
