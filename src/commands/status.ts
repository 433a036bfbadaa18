import { type Config, loadConfig } from '../config/config.js'
import { nameProgram } from '../program-name.js'
import type { RecordedGap } from '../rules/gap.js'
import { toDateTime } from '../rules/instant.js'
import type { Progress } from '../rules/progress.js'
import { adviseOnGaps, describeGapState, GAP_REASONS } from '../service/describe-gap.js'
import { openStore } from '../service/open-store.js'
import { createStatusReport, type StatusReport, toGapReport } from '../service/status-report.js'
import type { CommandContext } from './context.js'

/** Runs `status`: prints the number of stored logouts, their freshness, and the gaps. */
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
    const gapReports = gaps.map((gap) => toGapReport(gap, progress, config))
    const report = createStatusReport(config, { progress, counts, gapReports })
    const text = nameProgram(toText({ report, progress, gaps, config }), context.programName)
    context.print(options.json ? `${JSON.stringify(report, null, 2)}\n` : text)
  } finally {
    await close()
  }
}

/** The text for a missing checkpoint, by state. In the states `sweeping` and `reading`, a checkpoint always exists. */
const NO_CHECKPOINT = {
  not_started: 'none: the log has not been read yet',
  empty_log: 'none: the log was read, and held no entry',
  sweeping: '-',
  reading: '-',
} satisfies Record<Progress['state'], string>

const FIRST_STEPS =
  'run `last-logout start` to read the log and serve the API, or `last-logout sync` to read it once; if one has run, `last-logout doctor` shows why it has read nothing'

interface StatusFacts {
  report: StatusReport
  progress: Progress
  gaps: RecordedGap[]
  config: Config
}

function toText({ report, progress, gaps, config }: StatusFacts): string {
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
    ...toAdviceRows(adviseOnGaps(gaps, progress, config)),
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

function toAdviceRows(advice: string | null): [string, string][] {
  return advice === null ? [] : [['    advice', advice]]
}

function describeLag({ as_of: asOf, lag_ms: lagMs }: StatusReport): string {
  if (lagMs !== null) return `${lagMs} ms`
  return asOf === null ? '-' : 'unknown: the time is ahead of the clock of the database'
}
