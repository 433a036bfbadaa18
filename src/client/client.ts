import { judgeClaims } from '../rules/judge-claims.js'
import {
  type ClaimedToken,
  type ClaimNames,
  claimNames,
  isMachine,
  readToken,
  type SubjectlessToken,
} from '../rules/token.js'
import { createClaimReport, type ReportClaims } from './claim-report.js'
import { type Decision, decide, decideUnknown, type UnknownReason } from './decision.js'
import { createFollower, type Follower } from './follow.js'
import type { Freshness } from './freshness.js'
import { createHeld, type Held } from './held.js'
import { type Answer, createLookup, type Lookup, newest } from './lookup.js'
import { type LastLogoutClientOptions, readOptions, type Settings } from './options.js'

/** Verified claims of an access token. */
export type Claims = Record<string, unknown>

/** Tells a resource server which tokens are from before their user's logout. */
export interface LastLogoutClient {
  /**
   * Judges a token by its claims, which the caller has verified: signature, issuer, audience,
   * expiry. Answers from memory, and by a request only where the login is older than what is held
   * (with `lookup: 'request'`, where no answer is kept). Never rejects.
   */
  check(claims: Claims): Promise<Decision>
  /** The same without a request: where one would be needed the outcome is `unknown`. */
  checkNow(claims: Claims): Decision
  /**
   * Resolves when what the service knows is held, however old that is. Rejects with a `LastLogoutClientError` when the
   * service refuses the key, or the client is closed; the client itself goes on trying.
   */
  ready(): Promise<void>
  /** Ends the connection. Checks are then answered from what is held, for as long as that is fresh. */
  close(): Promise<void>
}

/** What a check needs. */
interface Parts {
  settings: Settings
  names: ClaimNames
  reportClaims: ReportClaims
  lookup: Lookup
  held: Held
  /** `null` with `lookup: 'request'`. */
  follower: Follower | null
}

/** What to do with a token at once, or the token to ask about. */
type FirstLook = { decision: Decision } | { ask: ClaimedToken }

/**
 * Opens a client; with `lookup: 'feed'` it connects to the service at once, and again whenever the
 * connection breaks. Throws a `TypeError` on options that cannot be meant.
 *
 * @example
 * const lastLogout = createLastLogoutClient({ url, apiKey, onUnknown: 'deny' })
 * const { allowed, outcome, reason } = await lastLogout.check(claims)
 */
export function createLastLogoutClient(options: LastLogoutClientOptions): LastLogoutClient {
  const settings = readOptions(options)
  const held = createHeld()
  const parts: Parts = {
    settings,
    names: claimNames(settings.namespace),
    reportClaims: createClaimReport(settings.onError),
    lookup: createLookup(settings),
    held,
    follower: settings.lookup === 'feed' ? createFollower(settings, held) : null,
  }
  const report = (decision: Decision, claims: Claims) => {
    settings.onDecision?.(decision, claims)
    return decision
  }
  return {
    async check(claims) {
      const look = lookFirst(parts, claims)
      return report('ask' in look ? await ask(parts, look.ask) : look.decision, claims)
    },
    checkNow(claims) {
      const look = lookFirst(parts, claims)
      return report('ask' in look ? peek(parts, look.ask) : look.decision, claims)
    },
    ready: async () => parts.follower?.ready(),
    close: async () => parts.follower?.close(),
  }
}

function lookFirst(parts: Parts, claims: Claims): FirstLook {
  const { settings, follower } = parts
  const freshness = follower?.freshness() ?? null
  const asOf = freshness?.asOf ?? null
  const unknown = (reason: UnknownReason) => ({ decision: decideUnknown(reason, asOf, settings) })
  const given = Object(claims)
  const token = readToken(given, parts.names)
  if (settings.issuer !== undefined && !isFrom(given.iss, settings.issuer)) {
    return unknown(token.subject === null ? 'no_subject' : 'other_issuer')
  }
  parts.reportClaims(token, given)
  if (token.subject === null) {
    return { decision: decide(judgeHeld(parts, token, freshness), asOf, settings) }
  }
  if (follower === null) return { ask: token }
  if (freshness === null && !isMachine(token.subject)) return unknown('not_loaded')

  const judged = judgeHeld(parts, token, freshness)
  // What revokes a token is never taken back: it counts however old it is.
  const isKnown = judged.revoked === true || judged.reason === 'machine_token'
  if (!isKnown && isStale(freshness, settings)) return unknown('stale')
  const isHeld = token.loginAt !== null && token.loginAt >= follower.heldSince()
  if (!isKnown && !isHeld) return { ask: token }
  return { decision: decide(judged, asOf, settings) }
}

async function ask(parts: Parts, token: ClaimedToken): Promise<Decision> {
  try {
    return judgeAnswer(parts, token, await parts.lookup.ask(token))
  } catch (error) {
    parts.settings.onError?.(error)
    return unanswered(parts, token, 'lookup_failed')
  }
}

function peek(parts: Parts, token: ClaimedToken): Decision {
  const answer = parts.lookup.peek(token)
  return answer ? judgeAnswer(parts, token, answer) : unanswered(parts, token, 'lookup_needed')
}

function judgeAnswer(parts: Parts, token: ClaimedToken, { known, freshness }: Answer): Decision {
  const { settings, held } = parts
  const judged = judgeBy(parts, token, newest(held.find(token), known), freshness)
  return judged.revoked !== true && isStale(freshness, settings)
    ? unanswered(parts, token, 'stale')
    : decide(judged, freshness.asOf, settings)
}

/** A machine token needs no answer. */
function unanswered(parts: Parts, token: ClaimedToken, reason: UnknownReason): Decision {
  const asOf = parts.follower?.freshness()?.asOf ?? null
  return isMachine(token.subject)
    ? decide(judgeHeld(parts, token, null), asOf, parts.settings)
    : decideUnknown(reason, asOf, parts.settings)
}

/** Judges a token by the logouts that are held in memory. */
function judgeHeld(
  parts: Parts,
  token: ClaimedToken | SubjectlessToken,
  freshness: Freshness | null,
) {
  // No user has an empty id, so that only the session and the floor are found.
  const found = parts.held.find(token.subject === null ? { ...token, subject: '' } : token)
  return judgeBy(parts, token, found, freshness)
}

function judgeBy(
  { settings }: Parts,
  token: ClaimedToken | SubjectlessToken,
  known: Answer['known'],
  freshness: Freshness | null,
) {
  const policy = freshness?.policy ?? 'user'
  return judgeClaims(token, known, { policy, leewayMs: settings.leewayMs })
}

function isStale(freshness: Freshness | null, { maxStalenessMs }: Settings): boolean {
  return freshness === null || freshness.ageMs() > maxStalenessMs
}

/** Auth0's issuers end in a slash, which is easily left out. */
function isFrom(iss: unknown, issuer: string): boolean {
  return typeof iss === 'string' && (iss === issuer || iss === `${issuer}/`)
}
