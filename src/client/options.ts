import { DEFAULT_MAX_STALENESS_MS } from '../rules/freshness.js'
import type { Decision } from './decision.js'

/** What a client is made with. */
export interface LastLogoutClientOptions {
  /** Where last-logout serves its API, for example `https://last-logout.internal`. */
  url: string
  /** A key of `API_KEYS` with the roles `feed` and `read`; for `lookup: 'request'`, `read`. */
  apiKey: string
  /**
   * What to do with a token of which it cannot be said whether it is revoked: refuse it with 503, or
   * let it pass. There is no default.
   */
  onUnknown: 'deny' | 'allow'
  /** Maximum age of the data before a check returns `unknown`, in milliseconds. Default 300,000. */
  maxStalenessMs?: number
  /** `observe` never refuses, and reports what `enforce` would have done. Default `enforce`. */
  mode?: 'enforce' | 'observe'
  /** The tenant's issuer, `https://…/`. A token of another one is none that this client can judge. Default: any. */
  issuer?: string
  /** The namespace of the login Action's claims. Default `https://last-logout/`. */
  namespace?: string
  /** Added once to a token's login, in milliseconds. Default 0. */
  leewayMs?: number
  /**
   * `feed` holds the recent logouts in memory and follows their changes. `request` asks for each
   * check, for processes that cannot hold a connection. Default `feed`.
   */
  lookup?: 'feed' | 'request'
  /** How long one request of a check may take, in milliseconds. Default 1,000. */
  timeoutMs?: number
  /** How long the response to such a request is used again, in milliseconds, by the clock that shows more. Default 5,000. */
  cacheMs?: number
  /** The longest that an access token of the tenant lives, as the service's `MAX_TOKEN_AGE`. Default 24 h. */
  maxTokenAgeMs?: number
  /** The longest that a refresh token lives, as the service's `MAX_REFRESH_AGE`. Default 30 days. */
  maxRefreshAgeMs?: number
  /** How often everything is loaded anew, in milliseconds. Default one hour. */
  reloadIntervalMs?: number
  /** Called with every decision, for metrics and for `observe`. What it throws, and a promise that it rejects, is ignored. */
  onDecision?: (decision: Decision, claims: Record<string, unknown>) => void
  /**
   * Called with what went wrong between client and service; the client recovers by itself. What it throws, and a promise
   * that it rejects, is ignored.
   */
  onError?: (error: unknown) => void
}

const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000
/** Ten years: no timer and no date is made of it alone, and what is longer is not meant. */
const LONGEST_MS = 3_650 * DAY_MS

/** The options as the client uses them. */
export type Settings = ReturnType<typeof readOptions>

/** Fills in the defaults. Throws a `TypeError` on what cannot be meant. */
export function readOptions(options: LastLogoutClientOptions) {
  const { url, apiKey, onUnknown, mode = 'enforce', lookup = 'feed' } = options
  assert(isPlainUrl(url), 'url must be an absolute URL without a user or a password')
  // Of another one, errors of `fetch` would quote what cannot be sent.
  assert(
    typeof apiKey === 'string' && /^[\x21-\x7e]+$/.test(apiKey),
    'apiKey must be a key of API_KEYS: characters of ASCII, without spaces',
  )
  assert(
    onUnknown === 'deny' || onUnknown === 'allow',
    "onUnknown must be 'deny' or 'allow': what happens to a token when it cannot be said whether it is revoked",
  )
  assert(mode === 'enforce' || mode === 'observe', "mode must be 'enforce' or 'observe'")
  assert(lookup === 'feed' || lookup === 'request', "lookup must be 'feed' or 'request'")
  const ms = (name: keyof LastLogoutClientOptions, fallback: number, least = 1) => {
    const value = options[name] ?? fallback
    assert(
      typeof value === 'number' && value >= least && value <= LONGEST_MS,
      `${name} must be from ${least} to ${LONGEST_MS} milliseconds`,
    )
    return value
  }
  return {
    // A base without the slash would lose its last part.
    url: url.endsWith('/') ? url : `${url}/`,
    apiKey,
    onUnknown,
    mode,
    lookup,
    issuer: options.issuer?.replace(/\/$/, ''),
    namespace: options.namespace,
    leewayMs: ms('leewayMs', 0, 0),
    maxStalenessMs: ms('maxStalenessMs', DEFAULT_MAX_STALENESS_MS),
    // A signal takes whole milliseconds only.
    timeoutMs: Math.ceil(ms('timeoutMs', 1_000)),
    cacheMs: ms('cacheMs', 5_000, 0),
    horizonMs: ms('maxTokenAgeMs', DAY_MS) + ms('maxRefreshAgeMs', 30 * DAY_MS),
    reloadIntervalMs: ms('reloadIntervalMs', HOUR_MS),
    onDecision: ignoreErrors(options.onDecision),
    onError: ignoreErrors(options.onError),
  }
}

/** A callback of the user that fails must not end a check or the connection to the service. */
function ignoreErrors<Args extends unknown[]>(
  callback: ((...args: Args) => unknown) | undefined,
): ((...args: Args) => void) | undefined {
  if (callback === undefined) return undefined
  return (...args) => {
    new Promise((resolve) => resolve(callback(...args))).catch(() => {})
  }
}

function isPlainUrl(text: string): boolean {
  if (!URL.canParse(text)) return false
  const { username, password } = new URL(text)
  return username === '' && password === ''
}

function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new TypeError(`createLastLogoutClient: ${message}`)
}
