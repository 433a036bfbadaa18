import { canBeSent } from '../rules/api-key.js'
import { DEFAULT_MAX_STALENESS_MS } from '../rules/freshness.js'
import { DAY_MS, HOUR_MS } from '../rules/instant.js'
import { isNamespace, NAMESPACE_RULE } from '../rules/namespace.js'
import { DEFAULT_NAMESPACE } from '../rules/token.js'
import { readUrl } from '../rules/url.js'
import { callSafely } from './call-safely.js'
import type { Decision } from './decision.js'

/** Options of `createLastLogoutClient`. */
export interface LastLogoutClientOptions {
  /** Base URL of last-logout, for example `https://last-logout.internal`. It begins with `https://` or `http://`. */
  url: string
  /** A key of `API_KEYS` with the roles `feed` and `read`. With `lookup: 'request'`, the role `read` is enough. */
  apiKey: string
  /**
   * How a token with an unknown revocation status is handled: `deny` refuses it with 503, `allow` accepts it. No
   * default.
   */
  onUnknown: 'deny' | 'allow'
  /** Maximum age of the data, in milliseconds. If the data is older, a check returns `unknown`. Default 300,000. */
  maxStalenessMs?: number
  /** `observe` refuses no token, but reports each decision to `onDecision`. Default `enforce`. */
  mode?: 'enforce' | 'observe'
  /**
   * The issuer of the tenant, `https://…/`, or a list of issuers. The outcome for a token of another issuer is
   * `unknown`. Default: any issuer.
   */
  issuer?: string | readonly string[]
  /** Namespace of the login Action's claims: a URL or URN that ends in `/` or `:`. Default `https://last-logout/`. */
  namespace?: string
  /** Tolerance for differing clocks, in milliseconds. Added to the time of a token's login. Default 0. */
  leewayMs?: number
  /**
   * `feed` keeps the recent logouts in memory and subscribes to their changes. `request` sends a request for each
   * check; use `request` in processes that cannot keep a connection open. Default `feed`.
   */
  lookup?: 'feed' | 'request'
  /**
   * When a client with `lookup: 'feed'` connects. `eager`: when it is created. `lazy`: at the first check or call of
   * `ready`; only then, the checks in the first `timeoutMs` milliseconds wait for the load. Default `eager`.
   */
  connect?: 'eager' | 'lazy'
  /** Timeout of a request for a check, in milliseconds. Default 1,000. */
  timeoutMs?: number
  /** How long the response to a request for a check is cached, in milliseconds. Default 5,000. */
  cacheMs?: number
  /** Maximum lifetime of an access token, in milliseconds. Set it to `MAX_TOKEN_AGE` of the service. Default 24 h. */
  maxTokenAgeMs?: number
  /**
   * Maximum lifetime of a refresh token, in milliseconds. Set it to `MAX_REFRESH_AGE` of the service. Default 30 days.
   */
  maxRefreshAgeMs?: number
  /** Interval at which all logouts are loaded again, in milliseconds. Default one hour. */
  reloadIntervalMs?: number
  /** Called with every decision. Errors and rejections of the callback are ignored. */
  onDecision?: (decision: Decision, claims: Record<string, unknown>) => void
  /**
   * Called with a `LastLogoutClientError` once for each problem: for each kind of failure in an outage, for stale data,
   * and for each unreadable claim. The client retries by itself. Errors and rejections of the callback are ignored.
   */
  onError?: (error: unknown) => void
}

/** Maximum of each duration: ten years. A longer duration is certainly a mistake. */
const MAX_DURATION_MS = 3_650 * DAY_MS

/** Validated options with their defaults. */
export type ClientSettings = ReturnType<typeof readOptions>

/**
 * Validates the options and fills in the defaults.
 *
 * @throws `TypeError` for an invalid option.
 */
export function readOptions(options: LastLogoutClientOptions) {
  assertPresent(options)
  const { url, apiKey, onUnknown, mode = 'enforce', lookup = 'feed', connect = 'eager' } = options
  const baseUrl = readBaseUrl(url)
  assert(
    baseUrl !== null,
    'url must be a URL that begins with https:// or http://, without user name, password, query and fragment',
  )
  // For an invalid key, `fetch` would throw an error whose message quotes the key.
  assert(
    typeof apiKey === 'string' && canBeSent(apiKey),
    'apiKey must be a key of API_KEYS: printable ASCII characters without spaces',
  )
  assert(
    onUnknown === 'deny' || onUnknown === 'allow',
    "onUnknown must be 'deny' or 'allow': what happens to a token whose revocation status is unknown",
  )
  const namespace = options.namespace ?? DEFAULT_NAMESPACE
  // In another namespace than that of the Action, the client would not find the claims of the Action.
  assert(typeof namespace === 'string' && isNamespace(namespace), `namespace ${NAMESPACE_RULE}`)
  assert(mode === 'enforce' || mode === 'observe', "mode must be 'enforce' or 'observe'")
  assert(lookup === 'feed' || lookup === 'request', "lookup must be 'feed' or 'request'")
  assert(connect === 'eager' || connect === 'lazy', "connect must be 'eager' or 'lazy'")
  const readDurationMs = (name: keyof LastLogoutClientOptions, fallback: number, min = 1) => {
    const value = options[name] ?? fallback
    assert(
      typeof value === 'number' && value >= min && value <= MAX_DURATION_MS,
      `${name} must be from ${min} to ${MAX_DURATION_MS} milliseconds`,
    )
    return value
  }
  return {
    url: baseUrl,
    apiKey,
    onUnknown,
    mode,
    lookup,
    connect,
    issuers: readIssuers(options.issuer),
    namespace,
    leewayMs: readDurationMs('leewayMs', 0, 0),
    maxStalenessMs: readDurationMs('maxStalenessMs', DEFAULT_MAX_STALENESS_MS),
    timeoutMs: readDurationMs('timeoutMs', 1_000),
    cacheMs: readDurationMs('cacheMs', 5_000, 0),
    // The maximum time from a login until its last token expires: the client loads the logouts of this time.
    horizonMs:
      readDurationMs('maxTokenAgeMs', DAY_MS) + readDurationMs('maxRefreshAgeMs', 30 * DAY_MS),
    reloadIntervalMs: readDurationMs('reloadIntervalMs', HOUR_MS),
    onDecision: ignoreErrors(options.onDecision),
    onError: ignoreErrors(options.onError),
  }
}

/** The options without a default, and the advice if an option is missing. */
const REQUIRED = {
  url: 'set it to the address of last-logout',
  apiKey: 'set it to a key of API_KEYS of last-logout',
  onUnknown:
    "set it to 'deny' or 'allow': what happens to a token whose revocation status is unknown",
}

/**
 * Asserts that the required options are set. An empty string, as from an empty environment variable, counts as missing.
 */
function assertPresent(options: Partial<LastLogoutClientOptions> = {}): void {
  for (const [name, advice] of Object.entries(REQUIRED)) {
    const value = Object(options)[name] ?? ''
    assert(value !== '', `${name} is missing: ${advice}`)
  }
}

/** Returns the issuers without a final slash; `null`: any issuer is accepted. */
function readIssuers(issuer: string | readonly string[] | undefined): ReadonlySet<string> | null {
  if (issuer === undefined) return null
  const issuers = typeof issuer === 'string' ? [issuer] : issuer
  assert(
    Array.isArray(issuers) && issuers.length > 0 && issuers.every(isText),
    'issuer must be an issuer, or a list of at least one issuer',
  )
  return new Set(issuers.map((each) => each.replace(/\/$/, '')))
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== ''
}

/**
 * Returns a callback that never throws. An error of a callback must not end a check or the connection to the service.
 */
function ignoreErrors<Args extends unknown[]>(
  callback: ((...args: Args) => unknown) | undefined,
): ((...args: Args) => void) | undefined {
  if (callback === undefined) return undefined
  return (...args) => callSafely(() => callback(...args))
}

/** Returns a URL to which a path can be appended. Returns `null` if the text is not such a URL. */
function readBaseUrl(text: string): string | null {
  const url = readUrl(text)
  if (url === null) return null
  const { protocol, username, password, search, hash } = url
  // `localhost:8080` is a URL, too: its scheme is `localhost:`.
  const isWeb = protocol === 'https:' || protocol === 'http:'
  const isBase = isWeb && [username, password, search, hash].every((part) => part === '')
  // Without a final slash, `new URL(path, url)` would replace the last segment of `url`.
  return isBase ? url.href.replace(/\/?$/, '/') : null
}

function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new TypeError(`createLastLogoutClient: ${message}`)
}
