import { Counter, Gauge, type Registry } from 'prom-client'
import { singleFlight } from '../async/single-flight.js'
import { cacheFor, withTimeout } from '../async/timeout.js'
import type { Counts, LastLogoutStore } from '../ports.js'
import { UNATTRIBUTABLE_REASONS } from '../rules/entry.js'
import { lagOf } from '../rules/freshness.js'
import type { Instant } from '../rules/instant.js'
import type { Progress } from '../rules/progress.js'
import type { GapReason, RecordedGap } from '../rules/span.js'

/** What the metrics of the database are read from. */
export type StoredMetricsOptions = Pick<LastLogoutStore, 'readProgress' | 'readGaps' | 'count'> & {
  /** How long a scrape waits for the database, in milliseconds. Default: {@link SCRAPE_TIMEOUT_MS}. */
  timeoutMs?: number
}

/** What is known of the database. */
export interface StoredMetrics {
  /** Asks the database. Where it does not answer in time, its metrics are left out. */
  refresh(): Promise<void>
}

/** Of {@link StoredMetricsOptions}: Prometheus waits 10 s for a scrape. */
export const SCRAPE_TIMEOUT_MS = 3_000

/** Rows are counted no more often, in milliseconds: a million users and sessions take a third of a second. */
const COUNT_INTERVAL_MS = 60_000

/**
 * What stands in the database, the same whichever process is asked: also the API's tells that the
 * worker has stopped.
 */
export function createStoredMetrics(
  registry: Registry,
  { readProgress, readGaps, count, timeoutMs = SCRAPE_TIMEOUT_MS }: StoredMetricsOptions,
): StoredMetrics {
  const up = new Gauge({
    name: 'last_logout_database_up',
    help: 'Whether the database answered this scrape: 1, or 0. Without it, its metrics are left out.',
    registers: [registry],
  })
  const setters = [tellFreshness(registry), tellGaps(registry), tellCounts(registry)]
  const readCounts = cacheFor(COUNT_INTERVAL_MS, timeoutMs / 2, count)
  const readState = singleFlight(async (): Promise<Stored> => {
    const [progress, gaps, counts] = await Promise.all([readProgress(), readGaps(), readCounts()])
    return { progress, gaps, counts }
  })

  return {
    async refresh() {
      const stored = await withTimeout(timeoutMs, readState(), null)
      up.set(stored === null ? 0 : 1)
      for (const set of setters) set(stored)
    },
  }
}

interface Stored {
  progress: Progress
  gaps: RecordedGap[]
  /** `null`: not counted yet, since that takes long. */
  counts: Counts | null
}

/** Sets metrics; where the database is away there is nothing to say. */
type Setter = (stored: Stored | null) => void

function tellFreshness(registry: Registry): Setter {
  const registers = [registry]
  const lag = new Gauge({
    name: 'last_logout_freshness_lag_seconds',
    help: 'Age of as_of: the log is known to have been read up to so long ago. Left out before the first catch-up has ended, and where as_of lies more than 60 s ahead of the clock of the database.',
    registers,
  })
  const poll = new Gauge({
    name: 'last_logout_last_poll_age_seconds',
    help: 'How long ago a page of the log was last stored, or its end reached.',
    registers,
  })
  const reconcile = new Gauge({
    name: 'last_logout_last_reconcile_age_seconds',
    help: 'How long ago the last reconcile that ended began.',
    registers,
  })
  return (stored) => {
    if (stored === null) {
      for (const gauge of [lag, poll, reconcile]) gauge.remove()
      return
    }
    const { asOf, lastPollAt, reconciledTo, now } = stored.progress
    const lagMs = lagOf(asOf, now)
    const age = (at: Instant | null) => at && Math.max(0, now - at) / 1000
    set(lag, lagMs === null ? null : lagMs / 1000)
    set(poll, age(lastPollAt))
    set(reconcile, age(reconciledTo))
  }
}

const NO_GAPS: Record<GapReason, number> = { retention: 0, empty_log: 0, cold_start: 0 }

function tellGaps(registry: Registry): Setter {
  const registers = [registry]
  const gaps = new Gauge({
    name: 'last_logout_gaps',
    help: 'Spans of the log that are known not to have been read, by why.',
    labelNames: ['reason'],
    registers,
  })
  const duration = new Gauge({
    name: 'last_logout_newest_gap_duration_seconds',
    help: 'Length of the gap found last, by why.',
    labelNames: ['reason'],
    registers,
  })
  const end = new Gauge({
    name: 'last_logout_newest_gap_end_timestamp_seconds',
    help: 'End of the gap found last, by why. Logouts from before it may be missing.',
    labelNames: ['reason'],
    registers,
  })
  const detected = new Gauge({
    name: 'last_logout_newest_gap_detected_timestamp_seconds',
    help: 'When the gap found last was found, or had grown, by why.',
    labelNames: ['reason'],
    registers,
  })
  return (stored) => {
    for (const gauge of [gaps, duration, end, detected]) gauge.reset()
    if (stored === null) return
    const byReason = { ...NO_GAPS }
    const inOrder = [...stored.gaps].sort((a, b) => a.detectedAt - b.detectedAt)
    // The last one of each reason stays.
    for (const { reason, from, to, detectedAt } of inOrder) {
      byReason[reason]++
      duration.set({ reason }, (to - from) / 1000)
      end.set({ reason }, to / 1000)
      detected.set({ reason }, detectedAt / 1000)
    }
    for (const [reason, number] of Object.entries(byReason)) gaps.set({ reason }, number)
  }
}

function tellCounts(registry: Registry): Setter {
  const registers = [registry]
  const users = new Gauge({
    name: 'last_logout_users',
    help: 'Users whose last logout is stored.',
    registers,
  })
  const sessions = new Gauge({
    name: 'last_logout_sessions',
    help: 'Sessions whose logout is stored.',
    registers,
  })
  const unattributable = new Gauge({
    name: 'last_logout_unattributable_entries',
    help: 'Entries of a counting type that could not be used, by why; those of the last RETAIN_DAYS.',
    labelNames: ['reason'],
    registers,
  })
  const reconciled = new Counter({
    name: 'last_logout_reconciled_rows_total',
    help: 'Users and sessions whose logout reconciling found and polling had missed.',
    registers,
  })
  return (stored) => {
    const counts = stored?.counts
    set(users, counts?.users)
    set(sessions, counts?.sessions)
    unattributable.reset()
    reconciled.reset()
    if (!counts) return reconciled.remove()
    for (const reason of UNATTRIBUTABLE_REASONS) unattributable.set({ reason }, 0)
    for (const [reason, number] of Object.entries(counts.unattributable)) {
      unattributable.set({ reason }, number)
    }
    reconciled.inc(counts.reconciled)
  }
}

function set(gauge: Gauge, value: number | null | undefined): void {
  if (value == null) gauge.remove()
  else gauge.set(value)
}
