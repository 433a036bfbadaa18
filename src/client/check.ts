import type { KnownLogouts, Policy } from '../rules/judge.js'
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
  /** `null` with `lookup: 'request'`. */
  feed: FeedSubscriber | null
  /** With `connect: 'lazy'`: waits for the first load. */
  firstLoad: (() => Promise<void> | undefined) | null
}

/** The decision, if the cache of the feed is sufficient to make it. Otherwise the token, which needs a lookup. */
type CacheResult = { decision: Decision } | { needsLookup: TokenWithClaimNames }

/** Judges claims by the cache, and by a request if the cache is not sufficient. The promise never rejects. */
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

/** Judges claims without a request: by the cache, and by a cached result of an earlier lookup. */
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
 * Judges claims again that a check has accepted, without a request. Since that check, the feed has delivered every logout
 * that can revoke the token.
 */
export function recheck(context: CheckContext, claims: unknown): Decision {
  const result = judgeFromCache(context, claims, true)
  return 'decision' in result ? result.decision : decideWithoutLookup(context, 'lookup_needed')
}

/** @param isComplete The cache holds every logout that can revoke the token, whenever its login was. */
function judgeFromCache(context: CheckContext, input: unknown, isComplete = false): CacheResult {
  const { settings, feed } = context
  const claims = Object(input)
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
  const judged = judgeByCache(context, token, freshness)
  if (judged.reason === 'machine_token') return { decision: decide(judged, asOf, settings) }
  if (feed === null) return { needsLookup: token }
  if (freshness === null) return { decision: decideUnknown('not_loaded', asOf, settings) }
  // Stale data is sufficient here, because a revoked token never becomes valid again.
  if (judged.revoked === true) return { decision: decide(judged, asOf, settings) }
  if (context.isFeedStale(freshness)) return { decision: decideUnknown('stale', asOf, settings) }
  // Only a logout after the login can revoke the token. The cache contains all logouts since `completeSince`.
  const isSufficient =
    isComplete || (token.loginAt !== null && token.loginAt >= feed.completeSince())
  return isSufficient ? { decision: decide(judged, asOf, settings) } : { needsLookup: token }
}

/**
 * Judges by the response and by the cache, because the feed may have delivered a logout during the request. Judges by the
 * policy of the feed, because a cached response may contain an earlier policy.
 */
function judgeFromLookup(context: CheckContext, token: TokenWithClaimNames, result: LookupResult) {
  const { settings, cache, feed } = context
  const { freshness } = result
  const judged = judgeWithPolicy(
    context,
    token,
    mergeLogouts(cache.find(token), result.knownLogouts),
    feed?.freshness() ?? freshness,
  )
  return judged.revoked !== true && context.isLookupStale(freshness)
    ? decideWithoutLookup(context, 'stale')
    : decide(judged, freshness.asOf, settings)
}

/** Returns the decision for a token that needs a lookup, if the lookup has no usable result. */
function decideWithoutLookup({ feed, settings }: CheckContext, reason: UnknownReason): Decision {
  return decideUnknown(reason, feed?.freshness()?.asOf ?? null, settings)
}

function judgeByCache(
  context: CheckContext,
  token: TokenWithClaimNames | SubjectlessToken,
  freshness: Freshness | null,
) {
  // No user has an empty id. For a token without a subject, the cache therefore finds only the session and the floor.
  const known = context.cache.find(token.subject === null ? { ...token, subject: '' } : token)
  return judgeWithPolicy(context, token, known, freshness)
}

function judgeWithPolicy(
  { settings }: CheckContext,
  token: TokenWithClaimNames | SubjectlessToken,
  known: KnownLogouts,
  freshness: Freshness | null,
) {
  return judgeClaims(token, known, { policy: policyOf(freshness), leewayMs: settings.leewayMs })
}

/** Returns the policy by which tokens are judged. Before the first load, it is the stricter one. */
export function policyOf(freshness: Freshness | null): Policy {
  return freshness?.policy ?? 'user'
}

/** Whether the claims belong to a machine token, which is accepted without any data. */
function isMachineToken(claims: unknown): boolean {
  const { sub } = Object(claims)
  return typeof sub === 'string' && isMachine(sub)
}

/** Accepts `iss` with or without the slash that Auth0 appends. The elements of `issuers` have no slash at the end. */
function isIssuedBy(iss: unknown, issuers: ReadonlySet<string>): boolean {
  return typeof iss === 'string' && issuers.has(iss.replace(/\/$/, ''))
}
