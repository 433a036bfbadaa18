import { documentedRefillPerMinute } from '../auth0/rate/documented-limits.js'
import type { RateLimit } from '../auth0/rate/limit.js'
import type { Config } from '../config/config.js'
import { readLogId } from '../rules/entry.js'
import type { Instant } from '../rules/instant.js'
import { storageTimeOf } from '../rules/log-id.js'
import { type Check, failure, ok, warning } from './check.js'

/** Maximum number of entries in one page of the Logs API. */
const PAGE_SIZE = 100

const MINUTE_MS = 60_000

/**
 * In a tenant with at least this many entries per minute, a poll ends at a page with recent entries. In other tenants,
 * a poll ends at an empty page. At two entries per second, the last entry is almost always recent enough.
 */
const BUSY_ENTRIES_PER_MINUTE = 120

/** The number of requests per minute that the tenant allows to all its applications together. */
export interface Allowance {
  perMinute: number
  /** `documented`: from Auth0's documentation. `observed`: a lower bound, from the headers of a response. */
  source: 'documented' | 'observed'
}

/** Estimates the refill rate of the tenant's rate limit. Returns `null` if the headers do not show it. */
export function toAllowance({ limit, remaining, resetInMs }: RateLimit): Allowance | null {
  const perMinute = documentedRefillPerMinute(limit)
  if (perMinute !== null) return { perMinute, source: 'documented' }
  const requestsUsed = limit - remaining
  if (resetInMs === null || requestsUsed <= 0) return null
  // The header contains whole seconds, so a time below one second counts as one second.
  return { perMinute: (requestsUsed * MINUTE_MS) / Math.max(resetInMs, 1_000), source: 'observed' }
}

/**
 * Estimates the number of entries per minute from the storage times of the newest entries. Returns `null` if no entry
 * has a storage time.
 */
export function estimateVolume(entries: unknown[], now: Instant): number | null {
  const times = entries.flatMap((entry) => storageTimeOf(readLogId(entry)) ?? [])
  if (times.length === 0) return null
  return (times.length * MINUTE_MS) / Math.max(now - Math.min(...times), 1_000)
}

/** The measurements from which the poll budget is judged. */
export interface BudgetFacts {
  limit: RateLimit | null
  /** Entries per minute; `null`: unknown. */
  volume: number | null
}

/** Reports the rate limit, and checks that `RATE_SHARE` of it suffices to read the log. */
export function checkBudget(
  { limit, volume }: BudgetFacts,
  { pollIntervalMs, auth0 }: Pick<Config, 'pollIntervalMs' | 'auth0'>,
): Check[] {
  if (limit === null) {
    const advice = 'check that no proxy between here and AUTH0_BASE_URL removes these headers'
    return [
      warning('rate limit', 'the responses have no x-ratelimit headers', advice),
      warning('poll budget', 'unknown: the responses have no x-ratelimit headers', advice),
    ]
  }
  const allowance = toAllowance(limit)
  const message = `a bucket of ${limit.limit} requests, ${limit.remaining} left${describeAllowance(allowance)}`
  return [
    ok('rate limit', message),
    toPollBudgetCheck(allowance, volume ?? 0, { pollIntervalMs, share: auth0.rateShare }),
  ]
}

function describeAllowance(allowance: Allowance | null): string {
  if (allowance === null) return ''
  const { perMinute, source } = allowance
  return source === 'documented'
    ? `; according to Auth0's documentation, ${perMinute} requests per minute`
    : `; at least ${Math.round(perMinute)} requests per minute are refilled`
}

function toPollBudgetCheck(
  allowance: Allowance | null,
  volume: number,
  { pollIntervalMs, share }: { pollIntervalMs: number; share: number },
): Check {
  const pagesPerMinute = volume / PAGE_SIZE
  const neededPerMinute = requestsPerMinute(volume, pollIntervalMs)
  const need = `${round(volume)} entries per minute need ${round(neededPerMinute)} requests per minute`
  if (allowance === null) {
    return ok('poll budget', `${need}; how many the tenant allows is unknown`)
  }
  const allowedPerMinute = allowance.perMinute * share
  const message = `${need}; RATE_SHARE allows ${round(allowedPerMinute)}`
  if (neededPerMinute <= allowedPerMinute) return ok('poll budget', message)
  if (allowance.source === 'observed') {
    return warning(
      'poll budget',
      `${need}; RATE_SHARE allows at least ${round(allowedPerMinute)}; whether it allows more is unknown`,
      'watch the lag. If it grows, raise POLL_INTERVAL or RATE_SHARE',
    )
  }
  if (pagesPerMinute < allowedPerMinute) {
    return warning(
      'poll budget',
      `${message}: polls wait for the rate limit`,
      `set POLL_INTERVAL to ${Math.ceil(minIntervalSeconds(allowedPerMinute - pagesPerMinute))}s or more, or raise RATE_SHARE`,
    )
  }
  return failure(
    'poll budget',
    `${message}: the worker falls behind`,
    'raise RATE_SHARE, or ask Auth0 for a higher limit',
  )
}

/**
 * Returns the requests per minute that polling needs. Each poll reads pages until an empty page, or, in a
 * busy tenant, until a page with recent entries.
 */
function requestsPerMinute(volume: number, pollIntervalMs: number): number {
  const polls = MINUTE_MS / pollIntervalMs
  const perPoll = volume / polls
  const pages = perPoll <= 1 ? perPoll : Math.ceil(perPoll / PAGE_SIZE)
  return polls * (volume >= BUSY_ENTRIES_PER_MINUTE ? Math.max(1, pages) : 1 + pages)
}

/**
 * Returns the shortest possible poll interval, in seconds, if each poll sends two requests in addition to the full
 * pages.
 *
 * @param sparePerMinute The requests per minute that remain after the requests for the full pages.
 */
function minIntervalSeconds(sparePerMinute: number): number {
  return (2 * 60) / sparePerMinute
}

function round(value: number): number {
  return value < 10 ? Math.round(value * 10) / 10 : Math.round(value)
}
