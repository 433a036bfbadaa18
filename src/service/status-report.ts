import type { Config } from '../config/config.js'
import type { RowCounts } from '../ports.js'
import { lagOf } from '../rules/freshness.js'
import type { RecordedGap } from '../rules/gap.js'
import { concernedUntil, stateOfGap, tokenHorizonMs } from '../rules/gap-state.js'
import { toDateTime } from '../rules/instant.js'
import type { Progress } from '../rules/progress.js'

/**
 * The output of `status --json`: how far the log has been read, and the number of rows. The console displays it too.
 */
export type StatusReport = ReturnType<typeof createStatusReport>

interface StatusFacts<Gap> {
  progress: Progress
  counts: RowCounts
  /** A report of each gap, which the console extends. */
  gapReports: Gap[]
}

/** The report of a gap. */
type GapReport = ReturnType<typeof toGapReport>

/** Creates a status report. */
export function createStatusReport<Gap extends GapReport>(
  config: Config,
  { progress, counts, gapReports }: StatusFacts<Gap>,
) {
  const { checkpoint, asOf, sweep, floorAt, lastPollAt, reconciledTo, now } = progress
  return {
    tenant: config.auth0.domain,
    checkpoint,
    as_of: toDateTime(asOf),
    lag_ms: lagOf(asOf, now),
    last_poll_at: toDateTime(lastPollAt),
    reconciled_at: toDateTime(reconciledTo),
    sweep_remaining: sweep && { from: toDateTime(sweep.from), to: toDateTime(sweep.to) },
    floor_at: toDateTime(floorAt),
    users: counts.users,
    sessions: counts.sessions,
    reconciled: counts.reconciled,
    gaps: counts.gaps,
    gap_list: gapReports,
    unattributable: counts.unattributable,
  }
}

/** Creates the report of a gap: a span of the log that Auth0 deleted before it was read. */
export function toGapReport(gap: RecordedGap, progress: Progress, config: Config) {
  const horizonMs = tokenHorizonMs(config)
  return {
    from: toDateTime(gap.from),
    to: toDateTime(gap.to),
    reason: gap.reason,
    detected_at: toDateTime(gap.detectedAt),
    state: stateOfGap(gap, progress, horizonMs),
    concerned_until: toDateTime(concernedUntil(gap, horizonMs)),
  }
}
