import { Counter, Gauge, type Registry } from 'prom-client'
import { singleFlight } from '../async/single-flight.js'
import { cacheFor, withTimeout } from '../async/timeout.js'
import type { LastLogoutStore, RowCounts } from '../ports.js'
import { UNATTRIBUTABLE_REASONS } from '../rules/entry.js'
import { lagOf } from '../rules/freshness.js'
import type { GapReason, RecordedGap } from '../rules/gap.js'
import type { Instant } from '../rules/instant.js'
import type { Progress } from '../rules/progress.js'

/** The methods of the store that the metrics call, and their timeout. */
export type DatabaseMetricsOptions = Pick<
  LastLogoutStore,
  'readProgress' | 'readGaps' | 'count'
> & {
  /** Maximum time that a scrape waits for the database, in milliseconds. Default: {@link SCRAPE_TIMEOUT_MS}. */
  timeoutMs?: number
}

/** Metrics that are read from the database. */
export interface DatabaseMetrics {
  /**
   * Reads the database and sets the metrics. Removes the metrics if the database does not respond before the timeout.
   */
  refresh(): Promise<void>
}

/** Default timeout of the database in a scrape, in milliseconds. Prometheus waits 10 s for a scrape by default. */
export const SCRAPE_TIMEOUT_MS = 3_000

/**
 * Minimum interval between two counts of rows, in milliseconds. A count of a million users and sessions takes 0.3 s.
 */
const COUNT_INTERVAL_MS = 60_000

/**
 * Registers the metrics of the database. All processes of a tenant report the same values. So the metrics of an API
 * process also show when a worker has stopped.
 */
export function createDatabaseMetrics(
  registry: Registry,
  { readProgress, readGaps, count, timeoutMs = SCRAPE_TIMEOUT_MS }: DatabaseMetricsOptions,
): DatabaseMetrics {
  const up = new Gauge({
    name: 'last_logout_database_up',
    help: 'Whether the database responded to this scrape: 1 or 0. At 0, the other metrics of the database are absent.',
    registers: [registry],
  })
  const setters = [registerFreshness(registry), registerGaps(registry), registerCounts(registry)]
  const readCounts = cacheFor(COUNT_INTERVAL_MS, timeoutMs / 2, count)
  const readState = singleFlight(async (): Promise<DatabaseState> => {
    const [progress, gaps, counts] = await Promise.all([readProgress(), readGaps(), readCounts()])
    return { progress, gaps, counts }
  })

  return {
    async refresh() {
      const state = await withTimeout(timeoutMs, readState(), null)
      up.set(state === null ? 0 : 1)
      for (const set of setters) set(state)
    },
  }
}

interface DatabaseState {
  progress: Progress
  gaps: RecordedGap[]
  /** `null`: the first count is still in progress. */
  counts: RowCounts | null
}

/**
 * Sets metrics to the state of the database. `null` means that the database is unavailable, and removes the metrics.
 */
type Setter = (state: DatabaseState | null) => void

function registerFreshness(registry: Registry): Setter {
  const registers = [registry]
  const lag = new Gauge({
    name: 'last_logout_freshness_lag_seconds',
    help: 'Age of as_of, up to which the log has been read. Absent before the first catch-up has ended. Negative while as_of is more than 60 s ahead of the clock of the database.',
    registers,
  })
  const poll = new Gauge({
    name: 'last_logout_last_poll_age_seconds',
    help: 'Time since a page of the log was last stored, or the end of the log was reached.',
    registers,
  })
  const reconcile = new Gauge({
    name: 'last_logout_last_reconcile_age_seconds',
    help: 'Time since the start of the last completed reconcile.',
    registers,
  })
  return (state) => {
    if (state === null) {
      for (const gauge of [lag, poll, reconcile]) gauge.remove()
      return
    }
    const { asOf, lastPollAt, reconciledTo, now } = state.progress
    const age = (at: Instant | null) => at && Math.max(0, now - at) / 1000
    set(lag, asOf === null ? null : (lagOf(asOf, now) ?? now - asOf) / 1000)
    set(poll, age(lastPollAt))
    set(reconcile, age(reconciledTo))
  }
}

const NO_GAPS: Record<GapReason, number> = { retention: 0, empty_log: 0, cold_start: 0 }

function registerGaps(registry: Registry): Setter {
  const registers = [registry]
  const gaps = new Gauge({
    name: 'last_logout_gaps',
    help: 'Spans of the log that are known not to have been read, by reason.',
    labelNames: ['reason'],
    registers,
  })
  const duration = new Gauge({
    name: 'last_logout_newest_gap_duration_seconds',
    help: 'Length of the gap detected last, by reason.',
    labelNames: ['reason'],
    registers,
  })
  const end = new Gauge({
    name: 'last_logout_newest_gap_end_timestamp_seconds',
    help: 'End of the gap detected last, by reason. Logouts from before it may be missing.',
    labelNames: ['reason'],
    registers,
  })
  const detected = new Gauge({
    name: 'last_logout_newest_gap_detected_timestamp_seconds',
    help: 'When the gap detected last was detected, or last grew, by reason.',
    labelNames: ['reason'],
    registers,
  })
  return (state) => {
    for (const gauge of [gaps, duration, end, detected]) gauge.reset()
    if (state === null) return
    const byReason = { ...NO_GAPS }
    const byDetection = [...state.gaps].sort((a, b) => a.detectedAt - b.detectedAt)
    // The gap that was detected last overwrites the values of earlier gaps with the same reason.
    for (const { reason, from, to, detectedAt } of byDetection) {
      byReason[reason]++
      duration.set({ reason }, (to - from) / 1000)
      end.set({ reason }, to / 1000)
      detected.set({ reason }, detectedAt / 1000)
    }
    for (const [reason, number] of Object.entries(byReason)) gaps.set({ reason }, number)
  }
}

function registerCounts(registry: Registry): Setter {
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
    help: 'Entries of a logout type that could not be used, by reason, of the last RETAIN_DAYS.',
    labelNames: ['reason'],
    registers,
  })
  const reconciled = new Counter({
    name: 'last_logout_reconciled_rows_total',
    help: 'Users and sessions whose logout a reconcile found and polling had missed.',
    registers,
  })
  return (state) => {
    const counts = state?.counts
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
