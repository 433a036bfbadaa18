import { documentedPerMinute } from '../auth0/rate/documented-limits.js'
import type { RateLimit } from '../auth0/rate/limit.js'
import type { Config } from '../config/config.js'
import { readLogId } from '../rules/entry.js'
import type { Instant } from '../rules/instant.js'
import { storageTimeOf } from '../rules/log-id.js'
import { type Check, failure, ok, warning } from './check.js'

/** The most entries that one request gives. */
const PAGE_SIZE = 100

const MINUTE_MS = 60_000

/** How many requests the tenant allows to all its callers. */
export interface Allowance {
  perMinute: number
  /** Known from Auth0's documentation, or that many at the least, as seen. */
  source: 'documented' | 'observed'
}

/** Estimates what a bucket of this size gives; `null`: it does not tell. */
export function toAllowance({ limit, remaining, resetInMs }: RateLimit): Allowance | null {
  const perMinute = documentedPerMinute(limit)
  if (perMinute !== null) return { perMinute, source: 'documented' }
  const used = limit - remaining
  if (resetInMs === null || used <= 0) return null
  // The header has whole seconds: what is refilled within less looks like a second.
  return { perMinute: (used * MINUTE_MS) / Math.max(resetInMs, 1_000), source: 'observed' }
}

/** Entries a minute, by the storage times of the newest ones; `null`: they do not tell. */
export function estimateVolume(entries: unknown[], now: Instant): number | null {
  const times = entries.flatMap((entry) => storageTimeOf(readLogId(entry)) ?? [])
  if (times.length === 0) return null
  return (times.length * MINUTE_MS) / Math.max(now - Math.min(...times), 1_000)
}

/** What the poll budget is judged by. */
export interface BudgetFacts {
  limit: RateLimit | null
  /** Entries a minute. */
  volume: number | null
}

/** Shows the rate limit, and whether our share of it keeps up with the tenant. */
export function checkBudget(
  { limit, volume }: BudgetFacts,
  { pollIntervalMs, auth0 }: Pick<Config, 'pollIntervalMs' | 'auth0'>,
): Check[] {
  if (limit === null) {
    const advice = 'expect AUTH0_BASE_URL to lead to Auth0 without anything that drops its headers'
    return [
      warning('rate limit', 'the answers have no x-ratelimit headers', advice),
      warning('poll budget', 'cannot be told without a rate limit', advice),
    ]
  }
  const allowance = toAllowance(limit)
  const seen = `a bucket of ${limit.limit}, ${limit.remaining} left${describe(allowance)}`
  return [
    ok('rate limit', seen),
    toPollBudgetCheck(allowance, volume ?? 0, { pollIntervalMs, share: auth0.rateShare }),
  ]
}

function describe(allowance: Allowance | null): string {
  if (allowance === null) return ''
  const { perMinute, source } = allowance
  return source === 'documented'
    ? `; by Auth0's documentation ${perMinute} requests a minute`
    : `; refilled by at least ${Math.round(perMinute)} a minute`
}

function toPollBudgetCheck(
  allowance: Allowance | null,
  volume: number,
  { pollIntervalMs, share }: { pollIntervalMs: number; share: number },
): Check {
  const pages = volume / PAGE_SIZE
  const needed = requestsPerMinute(volume, pollIntervalMs)
  const need = `at ${round(volume)} entries a minute it takes ${round(needed)} requests a minute`
  if (allowance === null) {
    return ok('poll budget', `${need}; the rate limit did not show how much it allows`)
  }
  const ours = allowance.perMinute * share
  const message = `${need}; RATE_SHARE allows ${round(ours)}`
  if (needed <= ours) return ok('poll budget', message)
  if (allowance.source === 'observed') {
    return warning(
      'poll budget',
      `${need}; that RATE_SHARE allows as many is not certain (at least ${round(ours)})`,
      'watch whether the lag grows: if it does, raise POLL_INTERVAL or RATE_SHARE',
    )
  }
  if (pages < ours) {
    return warning(
      'poll budget',
      `${message}: polls wait for the rate limit`,
      `set POLL_INTERVAL to ${Math.ceil(leastInterval(ours - pages))}s or more, or raise RATE_SHARE`,
    )
  }
  return failure(
    'poll budget',
    `${message}: the worker falls behind`,
    'raise RATE_SHARE, or ask Auth0 for a higher limit',
  )
}

/** Each poll reads pages until an empty one. */
function requestsPerMinute(volume: number, pollIntervalMs: number): number {
  const polls = MINUTE_MS / pollIntervalMs
  const perPoll = volume / polls
  return polls * (1 + (perPoll <= 1 ? perPoll : Math.ceil(perPoll / PAGE_SIZE)))
}

/** Seconds between polls, at two requests each. */
function leastInterval(perMinute: number): number {
  return (2 * 60) / perMinute
}

function round(value: number): number {
  return value < 10 ? Math.round(value * 10) / 10 : Math.round(value)
}
