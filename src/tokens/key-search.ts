import {
  type CryptoKey,
  createLocalJWKSet,
  errors,
  type FlattenedJWSInput,
  type JSONWebKeySet,
  type JWSHeaderParameters,
} from 'jose'
import { throttle } from '../async/throttle.js'
import { LastLogoutError } from '../errors.js'

/** Minimum length of an RSA key, in bits (RFC 7518 §3.3). */
const MIN_MODULUS_BITS = 2_048

/** Minimum interval between two log lines about malformed keys, in milliseconds. */
const LOG_INTERVAL_MS = 60_000

/** Options of {@link createKeySearch}. */
interface KeySearchOptions {
  /** The URL of the keys, for messages. */
  url: string
  log: { warn(fields: object, message: string): void }
  /** The time after which a caller may retry with a malformed key, in milliseconds. */
  retryAfterMs: number
}

/**
 * Creates the search in fetched keys. A malformed key says nothing about the token, so it makes the key set unavailable.
 *
 * @throws An error if there are no keys. The search throws an error of `jose` if no key matches, and
 *   `KEY_SET_UNAVAILABLE` if the key is malformed.
 */
export function createKeySearch(
  keySet: JSONWebKeySet,
  { url, log, retryAfterMs }: KeySearchOptions,
): (header: JWSHeaderParameters, token: FlattenedJWSInput) => Promise<CryptoKey> {
  const find = createLocalJWKSet(keySet)
  if (keySet.keys.length === 0) throw new Error('the key set is empty')
  const warn = throttle(LOG_INTERVAL_MS, (err: unknown) => log.warn({ err }, 'key unusable'))
  return async (header, token) => {
    try {
      const key = await find(header, token)
      const { modulusLength = MIN_MODULUS_BITS } = key.algorithm as { modulusLength?: number }
      if (modulusLength < MIN_MODULUS_BITS) throw new Error(`the key has ${modulusLength} bits`)
      return key
    } catch (cause) {
      if (cause instanceof errors.JOSEError) throw cause
      const message = `A key of the key set ${url} is malformed. Check TOKEN_JWKS_URL, and what is between this host and Auth0.`
      const error = new LastLogoutError('KEY_SET_UNAVAILABLE', message, { cause, retryAfterMs })
      warn(error)
      throw error
    }
  }
}
