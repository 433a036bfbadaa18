import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { LogoutEvent } from '../rules/entry.js'
import type { Instant } from '../rules/instant.js'
import { storageTimeOf } from '../rules/log-id.js'

/** What a request to Auth0 came to. */
interface Auth0Answer {
  /** `null`: there was no answer. */
  status: number | null
  durationMs: number
  rateLimit: { limit: number; remaining: number } | null
  /** How long it was held back before it was sent. */
  waitedMs: number
  /** The part of our budget that was used when it was sent; `null`: not known. */
  budgetUsed: number | null
}

/** What has just been stored. */
interface ReadingProgress {
  stage: string
  entries: number
  events: number
}

/** When the logout events of a page could be known, and when they were. */
interface FollowedEvents {
  events: Pick<LogoutEvent, 'logId' | 'at'>[]
  /** When Auth0 was asked for them. */
  askedAt: Instant
  /** From the answer to the commit. */
  writtenMs: number
}

/** What those who read the log tell. */
export interface ReadingMetrics {
  onAuth0Answer(answer: Auth0Answer): void
  onProgress(progress: ReadingProgress): void
  onLogoutPage(page: FollowedEvents): void
  /** A loop has started over, and nothing had moved. */
  onIdleRound(loop: string): void
}

/** In seconds: Auth0 stores an entry some seconds late, an outage is minutes. */
const LAG_BUCKETS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 120, 300, 600]
/** In seconds: of a request, and of a poll. */
export const DURATION_BUCKETS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600]

/** What reading the log comes to. */
export function createReadingMetrics(registry: Registry, rateShare: number): ReadingMetrics {
  return {
    onAuth0Answer: measureAnswers(registry, rateShare),
    onProgress: countEntries(registry),
    onLogoutPage: measureLag(registry),
    onIdleRound: countIdleRounds(registry),
  }
}

function measureAnswers(registry: Registry, rateShare: number): ReadingMetrics['onAuth0Answer'] {
  const registers = [registry]
  const requests = new Counter({
    name: 'last_logout_auth0_requests_total',
    help: 'Requests to Auth0 by the status of the answer; error: there was none.',
    labelNames: ['status'],
    registers,
  })
  for (const status of [200, 429, 'error']) requests.inc({ status }, 0)
  const duration = new Histogram({
    name: 'last_logout_auth0_request_duration_seconds',
    help: 'Time that Auth0 took to answer.',
    buckets: DURATION_BUCKETS,
    registers,
  })
  const waited = new Counter({
    name: 'last_logout_auth0_wait_seconds_total',
    help: 'Time that requests to Auth0 were held back, to stay within the rate budget.',
    registers,
  })
  const limit = new Gauge({
    name: 'last_logout_auth0_rate_limit_requests',
    help: "Size of the tenant's bucket of requests, as the last answer told it.",
    registers,
  })
  const remaining = new Gauge({
    name: 'last_logout_auth0_rate_remaining_requests',
    help: "What was left of the tenant's bucket of requests then; other callers take from it too.",
    registers,
  })
  new Gauge({
    name: 'last_logout_auth0_rate_share_ratio',
    help: 'The part of the bucket that may be used: RATE_SHARE.',
    registers,
  }).set(rateShare)
  const used = new Gauge({
    name: 'last_logout_auth0_budget_used_ratio',
    help: 'The part of our share of the bucket that was used up when the last request was sent.',
    registers,
  })
  // No zero that Auth0 has not said.
  for (const gauge of [limit, remaining, used]) gauge.remove()

  return ({ status, durationMs, rateLimit, waitedMs, budgetUsed }) => {
    requests.inc({ status: status ?? 'error' })
    duration.observe(durationMs / 1000)
    waited.inc(waitedMs / 1000)
    if (budgetUsed === null) used.remove()
    else used.set(budgetUsed)
    if (rateLimit === null) return
    limit.set(rateLimit.limit)
    remaining.set(rateLimit.remaining)
  }
}

function countEntries(registry: Registry): ReadingMetrics['onProgress'] {
  const registers = [registry]
  const labelNames = ['stage']
  const entries = new Counter({
    name: 'last_logout_entries_total',
    help: 'Entries of the tenant log that were read and stored, or passed over.',
    labelNames,
    registers,
  })
  const events = new Counter({
    name: 'last_logout_logout_events_total',
    help: 'Logout events among these entries.',
    labelNames,
    registers,
  })
  return ({ stage, ...read }) => {
    entries.inc({ stage }, read.entries)
    events.inc({ stage }, read.events)
  }
}

function countIdleRounds(registry: Registry): ReadingMetrics['onIdleRound'] {
  const rounds = new Counter({
    name: 'last_logout_rounds_without_progress_total',
    help: 'Rounds of a loop after which neither the checkpoint nor the sweep had moved.',
    labelNames: ['loop'],
    registers: [registry],
  })
  for (const loop of ['catch-up', 'sweep', 'replace-checkpoint']) rounds.inc({ loop }, 0)
  return (loop) => rounds.inc({ loop })
}

function measureLag(registry: Registry): ReadingMetrics['onLogoutPage'] {
  const lag = new Histogram({
    name: 'last_logout_event_lag_seconds',
    help: 'How late a logout event is, by part: auth0 storing it, its waiting for the poll, and its being written.',
    labelNames: ['part'],
    buckets: LAG_BUCKETS,
    registers: [registry],
  })
  for (const part of ['auth0', 'poll', 'write']) lag.zero({ part })
  // Clocks that disagree, and a `Date` header of whole seconds, make nothing negative.
  const observe = (part: string, ms: number) => lag.observe({ part }, Math.max(0, ms) / 1000)

  return ({ events, askedAt, writtenMs }) => {
    for (const { logId, at } of events) {
      const storedAt = storageTimeOf(logId)
      if (storedAt === null) continue
      observe('auth0', storedAt - at)
      observe('poll', askedAt - storedAt)
      observe('write', writtenMs)
    }
  }
}
