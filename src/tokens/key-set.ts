import {
  type CryptoKey,
  errors,
  type FlattenedJWSInput,
  type JSONWebKeySet,
  type JWSHeaderParameters,
} from 'jose'
import { unlessAborted } from '../async/abort.js'
import { createFailureTracker, type FailureTracker } from '../async/failure-tracker.js'
import { singleFlight } from '../async/single-flight.js'
import { LastLogoutError } from '../errors.js'
import { createKeySearch } from './key-search.js'

/** Limits for fetching and using a key set. All times are in milliseconds. */
export const KEY_SET_LIMITS = {
  /** Keys older than this are fetched again in the background. */
  refreshMs: 600_000,
  /** During an outage of the URL, keys older than this are no longer used. */
  keepMs: 3_600_000,
  /** Minimum time between two fetches, even if a token has an unknown key id. */
  cooldownMs: 30_000,
  /** Minimum time between a failed fetch and the next fetch. */
  retryMs: 5_000,
  /** Timeout of a fetch. */
  timeoutMs: 5_000,
}

/** Options of {@link createKeySet}. */
export interface KeySetOptions {
  /** The URL of the JSON Web Key Set (RFC 7517 §5). */
  url: string
  /** Default: the global `fetch`. */
  send?: typeof fetch | undefined
  log: KeySetLog
  /** Default: {@link KEY_SET_LIMITS}. */
  limits?: typeof KEY_SET_LIMITS | undefined
}

/** The logger of a key set. */
interface KeySetLog {
  warn(fields: object, message: string): void
}

/** The public keys of a tenant. */
export interface KeySet {
  /**
   * Finds the key for a token by `kid` and `alg` of the token's header. If the key is unknown, fetches the keys again.
   *
   * @throws An error of `jose` if there is no such key.
   * @throws `KEY_SET_UNAVAILABLE` if the fetch fails, if the last fetch is too recent for another one, or if the key is
   *   malformed.
   */
  find(header: JWSHeaderParameters, token: FlattenedJWSInput): Promise<CryptoKey>
  /** Returns a number that each fetch increases, even if the keys stay the same. `null`: there are no usable keys. */
  generation(): number | null
  /** Fetches the keys if they were never fetched. Never rejects: failures are logged. */
  load(): Promise<void>
}

/** The result of a fetch. `fetchedAt` is a time of the monotonic clock. */
interface FetchedKeys {
  find: KeySet['find']
  fetchedAt: number
  generation: number
}

/**
 * Keys older than `refreshMs` times this factor are not used before they are fetched again, because Auth0 may have
 * removed some of them.
 */
const MAX_AGE_FACTOR = 2

/**
 * Creates a key set that is fetched from a URL.
 *
 * The sender of a token can choose any `kid`. Therefore unknown key ids cause at most one fetch per `cooldownMs`.
 * During this time, it is unknown whether Auth0 has added the key since the last fetch, so the result is
 * `KEY_SET_UNAVAILABLE`. During an outage of the URL, the last keys are used for `keepMs`.
 */
export function createKeySet(options: KeySetOptions): KeySet {
  const { url, send = fetch, log, limits = KEY_SET_LIMITS } = options
  const outage = trackOutage(log)
  let keys: FetchedKeys | undefined
  let attemptedAt = Number.NEGATIVE_INFINITY
  const age = () => (keys === undefined ? Infinity : performance.now() - keys.fetchedAt)

  const fetchOnce = singleFlight(async () => {
    try {
      const fetched = await fetchKeys(url, send, limits.timeoutMs)
      const find = createKeySearch(fetched, { url, log, retryAfterMs: limits.retryMs })
      keys = { find, fetchedAt: performance.now(), generation: (keys?.generation ?? 0) + 1 }
      outage.recordSuccess()
      return keys
    } catch (cause) {
      const error = unavailableError(url, limits.retryMs, cause)
      outage.recordFailure(error)
      throw error
    } finally {
      attemptedAt = performance.now()
    }
  })

  /** Fetches the keys. Throws if the last attempt is too recent. */
  const refresh = async (): Promise<FetchedKeys> => {
    const minMs = outage.isFailing() ? limits.retryMs : limits.cooldownMs
    const waitMs = attemptedAt + minMs - performance.now()
    if (waitMs > 0) throw unavailableError(url, waitMs)
    return fetchOnce()
  }

  /** Returns the keys, unless they are too old. If the keys need a refresh, fetches them in the background. */
  const usableKeys = () => {
    const maxAgeMs = outage.isFailing() ? limits.keepMs : MAX_AGE_FACTOR * limits.refreshMs
    if (keys === undefined || age() > Math.min(maxAgeMs, limits.keepMs)) return undefined
    if (age() > limits.refreshMs) refresh().catch(() => {})
    return keys
  }

  /** Fetches the keys. If that fails, returns the last keys: after a failure, they are usable for longer. */
  const refreshOrKeep = () => refresh().catch((error) => usableKeys() ?? Promise.reject(error))

  return {
    generation: () => usableKeys()?.generation ?? null,
    async find(header, token) {
      const startedAt = performance.now()
      const current = usableKeys() ?? (await refreshOrKeep())
      try {
        return await current.find(header, token)
      } catch (error) {
        const isFetchedNow = current.fetchedAt >= startedAt
        if (!(error instanceof errors.JWKSNoMatchingKey) || isFetchedNow) throw error
      }
      return (await refresh()).find(header, token)
    },
    async load() {
      if (keys === undefined) await refresh().catch(() => {})
    },
  }
}

async function fetchKeys(
  url: string,
  send: typeof fetch,
  timeoutMs: number,
): Promise<JSONWebKeySet> {
  const controller = new AbortController()
  const { signal } = controller
  const request = async () => {
    const response = await send(url, { signal, redirect: 'manual' })
    if (response.status !== 200) {
      await response.body?.cancel()
      throw new Error(`the response has the status ${response.status}`)
    }
    return (await response.json()) as JSONWebKeySet
  }
  const timer = setTimeout(() => {
    controller.abort(new LastLogoutError('KEY_SET_UNAVAILABLE', `No response in ${timeoutMs} ms.`))
  }, timeoutMs)
  // On Node.js 20, the reading of a response can ignore the signal.
  return unlessAborted(request(), signal).finally(() => clearTimeout(timer))
}

function trackOutage(log: KeySetLog): FailureTracker {
  return createFailureTracker({
    onFailure: (err, isFirst) => {
      if (isFirst) log.warn({ err }, 'key set unavailable')
    },
    onRecovery: (failingMs) => log.warn({ failingMs }, 'key set available again'),
  })
}

function unavailableError(url: string, retryAfterMs: number, cause?: unknown): LastLogoutError {
  const message =
    cause === undefined
      ? `The key set ${url} was fetched a moment ago, and is not fetched again yet. Retry later.`
      : `The key set ${url} cannot be fetched. Check TOKEN_JWKS_URL, AUTH0_DOMAIN, and the connection to Auth0.`
  return new LastLogoutError('KEY_SET_UNAVAILABLE', message, { cause, retryAfterMs })
}
