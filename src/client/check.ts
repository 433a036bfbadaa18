import type { Policy } from '../rules/judge.js'
import { judgeClaims } from '../rules/judge-claims.js'
import {
  type ClaimNames,
  isMachine,
  readToken,
  type SubjectlessToken,
  type TokenWithClaimNames,
} from '../rules/token.js'
import type { ReportClaims } from './claim-report.js'
import { type Decision, decide, decideUnknown, type UnknownReason } from './decision.js'
import type { LastLogoutClientError } from './errors.js'
import type { FeedSubscriber } from './feed-subscriber.js'
import type { Freshness } from './freshness.js'
import type { LogoutCache } from './logout-cache.js'
import type { Lookup, LookupResult } from './lookup.js'
import { mergeLogouts } from './merge-logouts.js'
import type { ClientSettings } from './options.js'
import type { OutageReport } from './outage-report.js'
import type { StalenessCheck } from './staleness.js'

/** Dependencies of a check. */
export interface CheckContext {
  settings: ClientSettings
  names: ClaimNames
  reportClaims: ReportClaims
  lookup: Lookup
  lookupOutage: OutageReport
  isLookupStale: StalenessCheck
  isFeedStale: StalenessCheck
  cache: Pick<LogoutCache, 'find'>
  /** The subscriber of the change feed; `null` with `lookup: 'request'`. */
  feed: FeedSubscriber | null
  /** Waits for the first load; `null` unless `connect` is `lazy`. */
  firstLoad: (() => Promise<void> | undefined) | null
}

/** The result of a check without a request: the decision, or the token if the logouts in memory are not sufficient. */
type CacheResult = { decision: Decision } | { needsLookup: TokenWithClaimNames }

/** Judges claims. Sends a request if the logouts in memory are not sufficient. The promise never rejects. */
export async function checkWithLookup(context: CheckContext, claims: unknown): Promise<Decision> {
  if (context.firstLoad !== null && !isMachineToken(claims)) await context.firstLoad()
  const result = judgeFromCache(context, claims)
  if ('decision' in result) return result.decision
  const token = result.needsLookup
  try {
    const found = await context.lookup.fetch(token)
    context.lookupOutage.recordSuccess()
    return judgeFromLookup(context, token, found)
  } catch (error) {
    context.lookupOutage.recordFailure(error as LastLogoutClientError)
    return decideWithoutLookup(context, 'lookup_failed')
  }
}

/** Judges claims without a request: by the logouts in memory, or by the cached response of an earlier request. */
export function checkWithoutRequest(context: CheckContext, claims: unknown): Decision {
  context.feed?.start()
  const result = judgeFromCache(context, claims)
  if ('decision' in result) return result.decision
  const token = result.needsLookup
  const cached = context.lookup.cached(token)
  return cached === undefined
    ? decideWithoutLookup(context, 'lookup_needed')
    : judgeFromLookup(context, token, cached)
}

/**
 * Judges claims again, without a request, after a check has accepted them. Since that check, the feed has delivered
 * every logout that can revoke the token.
 */
export function recheck(context: CheckContext, claims: unknown): Decision {
  const result = judgeFromCache(context, claims, true)
  return 'decision' in result ? result.decision : decideWithoutLookup(context, 'lookup_needed')
}

/**
 * Judges claims by the logouts in memory.
 *
 * @param isComplete `true`: the memory contains every logout that can revoke this token. `false`: it contains the
 *   logouts since `completeSince`.
 */
function judgeFromCache(context: CheckContext, input: unknown, isComplete = false): CacheResult {
  const { settings, feed } = context
  const claims = (input ?? {}) as Record<string, unknown>
  const freshness = feed?.freshness() ?? null
  const asOf = freshness?.asOf ?? null
  const token = readToken(claims, context.names)
  if (settings.issuers !== null && !isIssuedBy(claims.iss, settings.issuers)) {
    const reason = token.subject === null ? 'no_subject' : 'other_issuer'
    return { decision: decideUnknown(reason, asOf, settings) }
  }
  context.reportClaims(token, claims)
  if (token.subject === null) {
    return { decision: decide(judgeByCache(context, token, freshness), asOf, settings) }
  }
  const judgement = judgeByCache(context, token, freshness)
  if (judgement.reason === 'machine_token') return { decision: decide(judgement, asOf, settings) }
  if (feed === null) return { needsLookup: token }
  if (freshness === null) return { decision: decideUnknown('not_loaded', asOf, settings) }
  // Stale data is sufficient here, because a revoked token never becomes valid again.
  if (judgement.revoked === true) return { decision: decide(judgement, asOf, settings) }
  if (context.isFeedStale(freshness)) return { decision: decideUnknown('stale', asOf, settings) }
  // Only a logout after the login can revoke the token. The memory contains all logouts since `completeSince`.
  const isSufficient =
    isComplete || (token.loginAt !== null && token.loginAt >= feed.completeSince())
  return isSufficient ? { decision: decide(judgement, asOf, settings) } : { needsLookup: token }
}

/**
 * Judges a token by the response to a request. Also considers the logouts in memory, because the feed may have
 * delivered a logout during the request. Of the policies of the response and of the feed, the stricter one applies,
 * because either can be older: the response can be cached, and the feed can be interrupted.
 */
function judgeFromLookup(context: CheckContext, token: TokenWithClaimNames, result: LookupResult) {
  const { settings, cache, feed } = context
  const { freshness } = result
  const policies = [policyOf(freshness), policyOf(feed?.freshness() ?? freshness)]
  const policy: Policy = policies.includes('user') ? 'user' : 'session'
  const knownLogouts = mergeLogouts(cache.find(token, policy), result.knownLogouts)
  const judgement = judgeClaims(token, knownLogouts, { policy, leewayMs: settings.leewayMs })
  return judgement.revoked !== true && context.isLookupStale(freshness)
    ? decideWithoutLookup(context, 'stale')
    : decide(judgement, freshness.asOf, settings)
}

/** Returns the decision for a token if the required request has no usable response. */
function decideWithoutLookup({ feed, settings }: CheckContext, reason: UnknownReason): Decision {
  return decideUnknown(reason, feed?.freshness()?.asOf ?? null, settings)
}

function judgeByCache(
  { settings, cache }: CheckContext,
  token: TokenWithClaimNames | SubjectlessToken,
  freshness: Freshness | null,
) {
  const policy = policyOf(freshness)
  // No user has an empty id. So for a token without a subject, `find` returns only the session and the floor.
  const knownLogouts = cache.find(
    token.subject === null ? { ...token, subject: '' } : token,
    policy,
  )
  return judgeClaims(token, knownLogouts, { policy, leewayMs: settings.leewayMs })
}

/** Returns the policy by which tokens are judged. Before the first load, the stricter policy applies. */
export function policyOf(freshness: Freshness | null): Policy {
  return freshness?.policy ?? 'user'
}

/** Whether the claims belong to a machine token. Such a token is accepted without any data. */
function isMachineToken(claims: unknown): boolean {
  const { sub } = Object(claims)
  return typeof sub === 'string' && isMachine(sub)
}

/** Whether `iss`, with or without a final slash, is one of `issuers`. The elements of `issuers` have no final slash. */
function isIssuedBy(iss: unknown, issuers: ReadonlySet<string>): boolean {
  return typeof iss === 'string' && issuers.has(iss.replace(/\/$/, ''))
}
