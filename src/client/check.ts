import type { KnownLogouts } from '../rules/judge.js'
import { judgeClaims } from '../rules/judge-claims.js'
import {
  type ClaimedToken,
  type ClaimNames,
  isMachine,
  readToken,
  type SubjectlessToken,
} from '../rules/token.js'
import type { ReportClaims } from './claim-report.js'
import { type Decision, decide, decideUnknown, type UnknownReason } from './decision.js'
import type { FeedSubscriber } from './feed-subscriber.js'
import type { Freshness } from './freshness.js'
import type { LogoutCache } from './logout-cache.js'
import type { Lookup, LookupResult } from './lookup.js'
import { mergeLogouts } from './merge-logouts.js'
import type { ClientSettings } from './options.js'

/** Dependencies of a check. */
export interface CheckContext {
  settings: ClientSettings
  names: ClaimNames
  reportClaims: ReportClaims
  lookup: Lookup
  cache: LogoutCache
  /** `null` with `lookup: 'request'`. */
  feed: FeedSubscriber | null
}

/** A decision by the cache of the feed, or the token that needs a lookup. */
type CacheResult = { decision: Decision } | { needsLookup: ClaimedToken }

/** Judges claims by the cache, and by a request if the cache is not sufficient. Never rejects. */
export async function checkWithLookup(context: CheckContext, claims: unknown): Promise<Decision> {
  const result = judgeFromCache(context, claims)
  if ('decision' in result) return result.decision
  const token = result.needsLookup
  try {
    return judgeFromLookup(context, token, await context.lookup.fetch(token))
  } catch (error) {
    context.settings.onError?.(error)
    return decideWithoutLookup(context, token, 'lookup_failed')
  }
}

/** Judges claims without a request: by the cache, and by a cached result of an earlier lookup. */
export function checkWithoutRequest(context: CheckContext, claims: unknown): Decision {
  const result = judgeFromCache(context, claims)
  if ('decision' in result) return result.decision
  const token = result.needsLookup
  const cached = context.lookup.cached(token)
  return cached === undefined
    ? decideWithoutLookup(context, token, 'lookup_needed')
    : judgeFromLookup(context, token, cached)
}

function judgeFromCache(context: CheckContext, input: unknown): CacheResult {
  const { settings, feed } = context
  const claims = Object(input)
  const freshness = feed?.freshness() ?? null
  const asOf = freshness?.asOf ?? null
  const token = readToken(claims, context.names)
  if (settings.issuer !== undefined && !isIssuedBy(claims.iss, settings.issuer)) {
    const reason = token.subject === null ? 'no_subject' : 'other_issuer'
    return { decision: decideUnknown(reason, asOf, settings) }
  }
  context.reportClaims(token, claims)
  if (token.subject === null) {
    return { decision: decide(judgeByCache(context, token, freshness), asOf, settings) }
  }
  if (feed === null) return { needsLookup: token }
  if (freshness === null && !isMachine(token.subject)) {
    return { decision: decideUnknown('not_loaded', asOf, settings) }
  }
  const judged = judgeByCache(context, token, freshness)
  // A revoked token never becomes valid again: it counts as revoked even if the data is stale.
  const isFinal = judged.revoked === true || judged.reason === 'machine_token'
  if (!isFinal && isStale(freshness, settings)) {
    return { decision: decideUnknown('stale', asOf, settings) }
  }
  // The cache holds all logouts since the login.
  const isComplete = token.loginAt !== null && token.loginAt >= feed.completeSince()
  if (!isFinal && !isComplete) return { needsLookup: token }
  return { decision: decide(judged, asOf, settings) }
}

/** The feed may have delivered a logout while the request was in flight: the cache counts as well. */
function judgeFromLookup(context: CheckContext, token: ClaimedToken, result: LookupResult) {
  const { settings, cache } = context
  const { freshness } = result
  const judged = judgeWithPolicy(
    context,
    token,
    mergeLogouts(cache.find(token), result.known),
    freshness,
  )
  return judged.revoked !== true && isStale(freshness, settings)
    ? decideWithoutLookup(context, token, 'stale')
    : decide(judged, freshness.asOf, settings)
}

/** The decision where no usable result is available. A machine token needs none. */
function decideWithoutLookup(
  context: CheckContext,
  token: ClaimedToken,
  reason: UnknownReason,
): Decision {
  const asOf = context.feed?.freshness()?.asOf ?? null
  return isMachine(token.subject)
    ? decide(judgeByCache(context, token, null), asOf, context.settings)
    : decideUnknown(reason, asOf, context.settings)
}

function judgeByCache(
  context: CheckContext,
  token: ClaimedToken | SubjectlessToken,
  freshness: Freshness | null,
) {
  // No user has an empty id: only the session and the floor are found.
  const known = context.cache.find(token.subject === null ? { ...token, subject: '' } : token)
  return judgeWithPolicy(context, token, known, freshness)
}

function judgeWithPolicy(
  { settings }: CheckContext,
  token: ClaimedToken | SubjectlessToken,
  known: KnownLogouts,
  freshness: Freshness | null,
) {
  const policy = freshness?.policy ?? 'user'
  return judgeClaims(token, known, { policy, leewayMs: settings.leewayMs })
}

function isStale(freshness: Freshness | null, { maxStalenessMs }: ClientSettings): boolean {
  return freshness === null || freshness.ageMs() > maxStalenessMs
}

/** Accepts the issuer of a token with or without the slash that Auth0 appends. `issuer` ends without it. */
function isIssuedBy(iss: unknown, issuer: string): boolean {
  return typeof iss === 'string' && (iss === issuer || iss === `${issuer}/`)
}
