import type { Instant } from '../rules/instant.js'
import type { Policy } from '../rules/judge.js'
import { callSafely } from './call-safely.js'
import {
  type CheckContext,
  checkWithLookup,
  checkWithoutRequest,
  policyOf,
  recheck,
} from './check.js'
import type { Decision } from './decision.js'
import type { FeedSubscriber } from './feed-subscriber.js'

/** The reason why a connection must end. */
export interface WatchEnd {
  /**
   * - `revoked`: a logout revoked the token.
   * - `expired`: the token has expired (`exp`).
   * - `unknown`: with `onUnknown: 'deny'`, the revocation status has been unknown for `maxUnknownMs`.
   */
  outcome: 'revoked' | 'expired' | 'unknown'
  reason: Decision['reason'] | 'expired'
}

/** Options of `watch`. */
export interface WatchOptions {
  /** Ends the watch when it aborts, for example because the connection is closed. */
  signal?: AbortSignal | undefined
  /** Called at most once, when the connection must end. `onError` receives the errors of this callback. */
  onRevoked: (end: WatchEnd) => unknown
  /**
   * With `onUnknown: 'deny'`: how long the revocation status may be unknown before the connection must end, in
   * milliseconds. Default 60,000.
   */
  maxUnknownMs?: number | undefined
}

/** A watched token. */
export interface Watch {
  claims: object
  subject: string | null
  sessionId: string | null
  expiresAt: Instant | null
  maxUnknownMs: number
  onRevoked: WatchOptions['onRevoked']
  /**
   * The policy under which a check has accepted the token; `null`: no check has accepted it yet under the current
   * policy.
   */
  acceptedPolicy: Policy | null
  /** When `acceptedPolicy` became `null`, by the monotonic clock. */
  undecidedSinceMs: number
  /** When the next request for the token may be sent, by the monotonic clock; `Infinity` during a request. */
  nextRequestAtMs: number
  stop(): void
}

/** Dependencies of a review. */
export type WatchContext = CheckContext & { feed: FeedSubscriber }

/** Callbacks of a review. */
interface ReviewHooks {
  isWatched(watch: Watch): boolean
  /** Called when a watch must end. */
  onEnd(watch: Watch): void
}

/** Reviews watched tokens: judges a token again, and ends its connection if necessary. */
interface WatchReview {
  /** Judges a token again, and ends its watch if necessary. Returns whether the watch has ended. */
  run(watch: Watch): boolean
  /** Reads the freshness of the feed. */
  updateFeed(): void
  /**
   * Whether a watch needs a review without a change: no check has accepted its token under the current policy, or the
   * revocation status has been unknown for too long.
   */
  isDue(watch: Watch): boolean
  /** Ends a watch of a closed client, which receives no more data. */
  endStale(watch: Watch): void
}

/** Maximum number of requests in progress. After a change of policy, every watch can need a request. */
const MAX_REQUESTS = 500

/** The end of a watch whose token has expired, which is not a decision of a check. */
const EXPIRED: WatchEnd = { outcome: 'expired', reason: 'expired' }

/**
 * Adapts a watch to the policy of the service. A token that is accepted under `user` is also accepted under `session`.
 * In the other direction, a check must decide.
 */
function applyPolicy(watch: Watch, policy: Policy): void {
  if (watch.acceptedPolicy === 'user') watch.acceptedPolicy = policy
  if (watch.acceptedPolicy === 'session' && policy === 'user') {
    watch.acceptedPolicy = null
    watch.undecidedSinceMs = performance.now()
  }
}

/**
 * Creates a review.
 *
 * - Until a check accepts a token, each review checks the token, and sends a request if necessary.
 * - After that, a review needs no request, because the feed delivers every logout that can revoke the token.
 * - Under a stricter policy, earlier logouts can revoke the token, so a check must accept the token again.
 */
export function createWatchReview(
  context: WatchContext,
  retryIntervalMs: number,
  { isWatched, onEnd }: ReviewHooks,
): WatchReview {
  const { settings, feed } = context
  const canEndUnknown = settings.onUnknown === 'deny' && settings.mode === 'enforce'
  const staleSpan = createStaleSpan(context)
  const currentPolicy = () => policyOf(feed.freshness())
  let requestCount = 0

  function run(watch: Watch): boolean {
    if (!isWatched(watch)) return false
    applyPolicy(watch, currentPolicy())
    const judge = watch.acceptedPolicy === null ? checkWithoutRequest : recheck
    const decision = judge(context, watch.claims)
    const needsRequest = decision.reason === 'lookup_needed'
    if (needsRequest && performance.now() >= watch.nextRequestAtMs && requestCount < MAX_REQUESTS)
      void request(watch)
    return apply(watch, decision)
  }

  async function request(watch: Watch): Promise<void> {
    watch.nextRequestAtMs = Number.POSITIVE_INFINITY
    requestCount++
    const decision = await checkWithLookup(context, watch.claims)
    requestCount--
    watch.nextRequestAtMs = performance.now() + retryIntervalMs
    if (isWatched(watch)) apply(watch, decision)
  }

  function apply(watch: Watch, decision: Decision): boolean {
    if (decision.outcome === 'accepted') watch.acceptedPolicy = currentPolicy()
    const end = endOf(watch, decision, isUnknownTooLong)
    if (end === null) return false
    onEnd(watch)
    if (end !== EXPIRED) settings.onDecision?.(decision, watch.claims as Record<string, unknown>)
    if (settings.mode === 'enforce') callSafely(() => watch.onRevoked(end), settings.onError)
    return true
  }

  function isUnknownTooLong({ acceptedPolicy, undecidedSinceMs, maxUnknownMs }: Watch): boolean {
    if (!canEndUnknown) return false
    const unknownMs =
      acceptedPolicy === null ? performance.now() - undecidedSinceMs : staleSpan.lengthMs()
    return unknownMs >= maxUnknownMs
  }

  return {
    run,
    isDue: (watch) => watch.acceptedPolicy !== currentPolicy() || isUnknownTooLong(watch),
    updateFeed: staleSpan.update,
    endStale(watch) {
      if (!isWatched(watch)) return
      onEnd(watch)
      const end: WatchEnd = { outcome: 'unknown', reason: 'stale' }
      if (canEndUnknown) callSafely(() => watch.onRevoked(end), settings.onError)
    },
  }
}

/** Returns why a connection must end; `null`: it may stay open. */
function endOf(
  watch: Watch,
  { outcome, reason }: Decision,
  isUnknownTooLong: (watch: Watch) => boolean,
): WatchEnd | null {
  if (outcome === 'revoked') return { outcome, reason }
  if (watch.expiresAt !== null && watch.expiresAt <= Date.now()) return EXPIRED
  return outcome === 'unknown' && isUnknownTooLong(watch) ? { outcome, reason } : null
}

/** Tracks for how long the data of the feed has been stale. */
function createStaleSpan({ feed, isFeedStale }: WatchContext) {
  let sinceMs: number | null = null
  return {
    update(): void {
      sinceMs = isFeedStale(feed.freshness()) ? (sinceMs ?? performance.now()) : null
    },
    lengthMs: (): number => (sinceMs === null ? 0 : performance.now() - sinceMs),
  }
}
