import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { LogoutPage, LogRequest, SyncProgress } from '../measurements.js'
import { storageTimeOf } from '../rules/log-id.js'

/** Records how the tenant log is read. */
export interface SyncMetrics {
  onAuth0Response(request: LogRequest): void
  onProgress(progress: Pick<SyncProgress, 'stage' | 'entries' | 'events'>): void
  onLogoutPage(page: LogoutPage): void
  /**
   * Counts an iteration of a loop that moved neither the checkpoint (the log id to continue from) nor the sweep (the
   * span of the log that a first start must still search).
   */
  onIdleRound(loop: string): void
}

/** Buckets of the delay of a logout, in seconds. Auth0 stores an entry within seconds. An outage can last minutes. */
const LAG_BUCKETS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 120, 300, 600]
/** Buckets of the durations of requests to Auth0 and of polls, in seconds. */
export const DURATION_BUCKETS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600]

/** Registers the metrics of how the log is read. */
export function createSyncMetrics(registry: Registry, rateShare: number): SyncMetrics {
  return {
    onAuth0Response: registerRequests(registry, rateShare),
    onProgress: registerEntries(registry),
    onLogoutPage: registerLag(registry),
    onIdleRound: registerIdleRounds(registry),
  }
}

function registerRequests(registry: Registry, rateShare: number): SyncMetrics['onAuth0Response'] {
  const registers = [registry]
  const requests = new Counter({
    name: 'last_logout_auth0_requests_total',
    help: 'Requests to Auth0, by the status of the response. error: no response.',
    labelNames: ['status'],
    registers,
  })
  for (const status of [200, 429, 'error']) requests.inc({ status }, 0)
  const duration = new Histogram({
    name: 'last_logout_auth0_request_duration_seconds',
    help: 'Duration of requests to Auth0.',
    buckets: DURATION_BUCKETS,
    registers,
  })
  const waited = new Counter({
    name: 'last_logout_auth0_wait_seconds_total',
    help: 'Time that requests to Auth0 waited to stay within the rate budget.',
    registers,
  })
  const limit = new Gauge({
    name: 'last_logout_auth0_rate_limit_requests',
    help: "Size of the tenant's rate limit bucket, as of the last response.",
    registers,
  })
  const remaining = new Gauge({
    name: 'last_logout_auth0_rate_remaining_requests',
    help: "Requests that remained in the tenant's rate limit bucket, as of the last response. Other callers use the bucket too.",
    registers,
  })
  new Gauge({
    name: 'last_logout_auth0_rate_share_ratio',
    help: 'Share of the rate limit bucket that may be used: RATE_SHARE.',
    registers,
  }).set(rateShare)
  const used = new Gauge({
    name: 'last_logout_auth0_budget_used_ratio',
    help: 'Used fraction of the share of the bucket at the last request, as counted by last-logout.',
    registers,
  })
  // Before the first value from Auth0, these gauges are absent, because a zero would be wrong.
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

function registerEntries(registry: Registry): SyncMetrics['onProgress'] {
  const registers = [registry]
  const labelNames = ['stage']
  const entries = new Counter({
    name: 'last_logout_entries_total',
    help: 'Entries of the tenant log that were read, by stage.',
    labelNames,
    registers,
  })
  const events = new Counter({
    name: 'last_logout_logout_events_total',
    help: 'Logout events among the entries that were read, by stage.',
    labelNames,
    registers,
  })
  return ({ stage, ...read }) => {
    entries.inc({ stage }, read.entries)
    events.inc({ stage }, read.events)
  }
}

function registerIdleRounds(registry: Registry): SyncMetrics['onIdleRound'] {
  const rounds = new Counter({
    name: 'last_logout_rounds_without_progress_total',
    help: 'Rounds of a loop that moved neither the checkpoint nor the sweep.',
    labelNames: ['loop'],
    registers: [registry],
  })
  for (const loop of ['catch-up', 'sweep', 'replace-checkpoint']) rounds.inc({ loop }, 0)
  return (loop) => rounds.inc({ loop })
}

function registerLag(registry: Registry): SyncMetrics['onLogoutPage'] {
  const lag = new Histogram({
    name: 'last_logout_event_lag_seconds',
    help: 'How late a logout event is, by part. auth0: until Auth0 stored it. poll: until the request for it. write: from the response to the commit.',
    labelNames: ['part'],
    buckets: LAG_BUCKETS,
    registers: [registry],
  })
  for (const part of ['auth0', 'poll', 'write']) lag.zero({ part })
  // A difference can be negative, because clocks differ and the header `Date` contains whole seconds.
  const observe = (part: string, ms: number) => lag.observe({ part }, Math.max(0, ms) / 1000)

  return ({ events, requestedAt, writtenMs }) => {
    for (const { logId, at } of events) {
      const storedAt = storageTimeOf(logId)
      if (storedAt === null) continue
      observe('auth0', storedAt - at)
      observe('poll', requestedAt - storedAt)
      observe('write', writtenMs)
    }
  }
}
