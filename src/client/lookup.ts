import type { KnownLogouts } from '../rules/judge.js'
import type { Token } from '../rules/token.js'
import { startStopwatch, systemClocks } from './clocks.js'
import { type Freshness, withAge } from './freshness.js'
import { createLastLogoutRequest } from './last-logout-request.js'
import { mergeLogouts } from './merge-logouts.js'
import type { ClientSettings } from './options.js'

/** Maximum number of cached results. If there are more, the oldest result is evicted. */
const MAX_RESULTS = 10_000

/** The logouts of the user and the session of a token, as the service knows them. */
export interface LookupResult {
  knownLogouts: KnownLogouts
  freshness: Freshness
}

/** Requests the logouts for a token, and caches the results. */
export interface Lookup {
  /**
   * Returns the cached result, else sends a request. With `lookup: 'feed'`, concurrent calls for the same ids share one
   * request (single flight). With `lookup: 'request'`, each call sends a request of its own: an edge runtime stops a
   * request when its handler ends, so other calls that shared the request would never settle.
   */
  fetch(token: Token): Promise<LookupResult>
  /** Returns the cached result, or `undefined` if `fetch` would send a request. */
  cached(token: Token): LookupResult | undefined
}

interface CachedResult extends LookupResult {
  /** Milliseconds since the request. */
  elapsedMs(): number
}

/**
 * Creates a lookup that caches results for `cacheMs`. A result expires as soon as the monotonic clock or the wall clock
 * has measured this time. The next result includes the logouts of the expired result, so that a revoked token stays
 * revoked even if the service has lost data.
 */
export function createLookup(settings: ClientSettings, clocks = systemClocks): Lookup {
  const requestLastLogout = createLastLogoutRequest(settings, clocks.wall)
  const results = createResultCache(settings.cacheMs)
  const inFlight = new Map<string, Promise<LookupResult>>()
  const sharesRequests = settings.lookup === 'feed'

  async function send({ subject, sessionId }: Token, key: string): Promise<LookupResult> {
    const elapsedMs = startStopwatch(clocks)
    const response = await requestLastLogout({ userId: subject, sessionId })
    const { knownLogouts, freshness } = response
    return results.add(key, { knownLogouts, freshness: withAge(freshness, elapsedMs), elapsedMs })
  }

  return {
    cached: (token) => results.find(keyOf(token)),
    async fetch(token) {
      const key = keyOf(token)
      const result = results.find(key)
      if (result !== undefined) return result
      if (!sharesRequests) return send(token, key)
      const request = inFlight.get(key) ?? send(token, key).finally(() => inFlight.delete(key))
      inFlight.set(key, request)
      return request
    },
  }
}

function createResultCache(maxAgeMs: number) {
  const results = new Map<string, CachedResult>()
  return {
    /** Returns a result that is not older than `maxAgeMs`. */
    find(key: string): LookupResult | undefined {
      const result = results.get(key)
      return result !== undefined && result.elapsedMs() < maxAgeMs ? result : undefined
    },
    /** Caches a result. Returns the result, merged with the logouts of the previous result for the same key. */
    add(key: string, { knownLogouts, freshness, elapsedMs }: CachedResult): LookupResult {
      const previous = results.get(key)
      const mergedLogouts =
        previous === undefined ? knownLogouts : mergeLogouts(previous.knownLogouts, knownLogouts)
      const result = { knownLogouts: mergedLogouts, freshness, elapsedMs }
      // A `Map` keeps the order of insertion: the first key is the oldest result.
      results.delete(key)
      results.set(key, result)
      const [oldestKey] = results.keys()
      if (results.size > MAX_RESULTS && oldestKey !== undefined) results.delete(oldestKey)
      return result
    },
  }
}

function keyOf({ subject, sessionId }: Token): string {
  return JSON.stringify([subject, sessionId])
}
