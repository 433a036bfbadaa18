import { type Config, loadConfig } from '../config/config.js'
import type { RowCounts } from '../ports.js'
import { nameProgram } from '../program-name.js'
import { lagOf } from '../rules/freshness.js'
import type { RecordedGap } from '../rules/gap.js'
import { concernedUntil, stateOfGap, tokenHorizonMs } from '../rules/gap-state.js'
import { toDateTime } from '../rules/instant.js'
import type { Progress } from '../rules/progress.js'
import {
  describeClosing,
  describeGapState,
  FIRST_START_NOTE,
  findOpenGap,
} from '../service/describe-gap.js'
import { openStore } from '../service/open-store.js'
import type { CommandContext } from './context.js'

/** Runs `status`: prints what the database holds, and how fresh it is. */
export async function runStatus(context: CommandContext, options: { json?: true }): Promise<void> {
  const config = loadConfig(context.env, ['database'])
  const log = await context.createLog(config.logLevel, 'stderr')
  const { store, close } = await openStore(config, log, { attachOnly: true })
  try {
    const [progress, counts, gaps] = await Promise.all([
      store.readProgress(),
      store.count(),
      store.readGaps(),
    ])
    const report = toReport(config, { progress, counts, gaps })
    const text = nameProgram(toText({ report, progress, gaps, config }), context.programName)
    context.print(options.json ? `${JSON.stringify(report, null, 2)}\n` : text)
  } finally {
    await close()
  }
}

/** A description of each reason for a gap. */
const GAP_REASONS: Record<RecordedGap['reason'], string> = {
  retention: 'deleted before it was read',
  empty_log: 'the log was empty when reading resumed',
  cold_start: 'deleted before the first start',
}

/** Why there is no checkpoint. */
const NO_CHECKPOINT = {
  not_started: 'none: the log has not been read yet',
  empty_log: 'none: the log was read, and held no entry',
  sweeping: '-',
  reading: '-',
} satisfies Record<Progress['state'], string>

const FIRST_STEPS =
  'run `last-logout start` to read the log and serve the API, or `last-logout sync` to read it once; if one has run, `last-logout doctor` shows why it has read nothing'

type Report = ReturnType<typeof toReport>

interface StoredFacts {
  progress: Progress
  counts: RowCounts
  gaps: RecordedGap[]
}

function toReport(config: Config, { progress, counts, gaps }: StoredFacts) {
  const { checkpoint, asOf, sweep, floorAt, lastPollAt, reconciledTo, now } = progress
  const horizonMs = tokenHorizonMs(config)
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
    gap_list: gaps.map((gap) => ({
      from: toDateTime(gap.from),
      to: toDateTime(gap.to),
      reason: gap.reason,
      detected_at: toDateTime(gap.detectedAt),
      state: stateOfGap(gap, progress, horizonMs),
      concerned_until: toDateTime(concernedUntil(gap, horizonMs)),
    })),
    unattributable: counts.unattributable,
  }
}

interface Facts {
  report: Report
  progress: Progress
  gaps: RecordedGap[]
  config: Config
}

function toText({ report, progress, gaps, config }: Facts): string {
  const { checkpoint, sweep_remaining: sweep, unattributable } = report
  const reasons = Object.entries(unattributable).map(([reason, count]) => `${count} ${reason}`)
  const rows: [string, string | number | null][] = [
    ['tenant', report.tenant],
    ['checkpoint', checkpoint ?? NO_CHECKPOINT[progress.state]],
    ['fresh as of', report.as_of ?? 'never: the first catch-up is not complete'],
    ['lag', describeLag(report)],
    ['last poll', report.last_poll_at ?? 'never'],
    ['sweep', sweep ? `remaining: ${sweep.from} to ${sweep.to}` : checkpoint ? 'done' : '-'],
    ['floor', report.floor_at ?? 'none'],
    ['users', report.users],
    ['sessions', report.sessions],
    ['reconciled', `${report.reconciled} rows that polling missed`],
    ['gaps', report.gaps],
    ...gaps.flatMap((gap) => toGapRows(gap, progress, config)),
    ...toClosingRows(findOpenGap(gaps, progress, config), config),
    ['unattributable', reasons.length === 0 ? 0 : reasons.join(', ')],
    ...(progress.state === 'not_started' ? [['next', FIRST_STEPS] satisfies [string, string]] : []),
  ]
  return rows.map(([name, value]) => `${name.padEnd(15)} ${value}\n`).join('')
}

function toGapRows(gap: RecordedGap, progress: Progress, config: Config): [string, string][] {
  const span = `${toDateTime(gap.from)} to ${toDateTime(gap.to)}`
  return [
    ['  not read', `${span}, ${GAP_REASONS[gap.reason]}`],
    ['    state', describeGapState(gap, progress, config)],
  ]
}

function toClosingRows(gap: RecordedGap | null, config: Config): [string, string][] {
  if (gap === null) return []
  const closing = describeClosing(gap, config)
  return [['    advice', gap.reason === 'cold_start' ? `${FIRST_START_NOTE}; ${closing}` : closing]]
}

function describeLag({ as_of: asOf, lag_ms: lagMs }: Report): string {
  if (lagMs !== null) return `${lagMs} ms`
  return asOf === null ? '-' : 'unknown: the time is ahead of the clock of the database'
}
