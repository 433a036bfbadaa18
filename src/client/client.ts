import { judge } from '../rules/judge.js'
import { type ClaimNames, claimNames, isMachine, readToken, type Token } from '../rules/token.js'
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
  lookup: Lookup
  held: Held
  /** `null` with `lookup: 'request'`. */
  follower: Follower | null
}

/** What to do with a token at once, or the token to ask about. */
type FirstLook = { decision: Decision } | { ask: Token }

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
  const { settings, held, follower } = parts
  const freshness = follower?.freshness() ?? null
  const unknown = (reason: UnknownReason) => ({
    decision: decideUnknown(reason, freshness?.asOf ?? null, settings),
  })
  const token = readToken(Object(claims), parts.names)
  if (token === null) return unknown('no_subject')
  if (settings.issuer !== undefined && !isFrom(claims.iss, settings.issuer)) {
    return unknown('other_issuer')
  }
  if (follower === null) return { ask: token }
  if (freshness === null && !isMachine(token.subject)) return unknown('not_loaded')

  const verdict = judgeBy(parts, token, held.find(token), freshness)
  // What revokes a token is never taken back: it counts however old it is.
  const isKnown = verdict.revoked || verdict.reason === 'machine_token'
  if (!isKnown && isStale(freshness, settings)) return unknown('stale')
  const isHeld = token.loginAt !== null && token.loginAt >= follower.heldSince()
  if (!isKnown && !isHeld) return { ask: token }
  return { decision: decide(verdict, freshness?.asOf ?? null, settings) }
}

async function ask(parts: Parts, token: Token): Promise<Decision> {
  try {
    return judgeAnswer(parts, token, await parts.lookup.ask(token))
  } catch (error) {
    parts.settings.onError?.(error)
    return unanswered(parts, token, 'lookup_failed')
  }
}

function peek(parts: Parts, token: Token): Decision {
  const answer = parts.lookup.peek(token)
  return answer ? judgeAnswer(parts, token, answer) : unanswered(parts, token, 'lookup_needed')
}

function judgeAnswer(parts: Parts, token: Token, { known, freshness }: Answer): Decision {
  const { settings, held } = parts
  const verdict = judgeBy(parts, token, newest(held.find(token), known), freshness)
  return !verdict.revoked && isStale(freshness, settings)
    ? unanswered(parts, token, 'stale')
    : decide(verdict, freshness.asOf, settings)
}

/** A machine token needs no answer. */
function unanswered(parts: Parts, token: Token, reason: UnknownReason): Decision {
  const asOf = parts.follower?.freshness()?.asOf ?? null
  if (!isMachine(token.subject)) return decideUnknown(reason, asOf, parts.settings)
  return decide(judgeBy(parts, token, parts.held.find(token), null), asOf, parts.settings)
}

function judgeBy(
  { settings }: Parts,
  token: Token,
  known: Answer['known'],
  freshness: Freshness | null,
) {
  const policy = freshness?.policy ?? 'user'
  return judge(token, known, { policy, leewayMs: settings.leewayMs })
}

function isStale(freshness: Freshness | null, { maxStalenessMs }: Settings): boolean {
  return freshness === null || freshness.ageMs() > maxStalenessMs
}

/** Auth0's issuers end in a slash, which is easily left out. */
function isFrom(iss: unknown, issuer: string): boolean {
  return typeof iss === 'string' && (iss === issuer || iss === `${issuer}/`)
}
