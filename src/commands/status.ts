import { loadConfig } from '../config/config.js'
import type { Counts } from '../ports.js'
import { lagOf } from '../rules/freshness.js'
import type { RecordedGap } from '../rules/gap.js'
import { toDateTime } from '../rules/instant.js'
import type { Progress } from '../rules/progress.js'
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
    const report = toReport(config.auth0.domain, progress, counts, gaps)
    context.print(options.json ? `${JSON.stringify(report, null, 2)}\n` : toText(report))
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

type Report = ReturnType<typeof toReport>

function toReport(domain: string, progress: Progress, counts: Counts, gaps: RecordedGap[]) {
  const { checkpoint, asOf, sweep, floorAt, lastPollAt, reconciledTo, now } = progress
  return {
    tenant: domain,
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
    gap_list: gaps.map(({ from, to, reason, detectedAt }) => ({
      from: toDateTime(from),
      to: toDateTime(to),
      reason,
      detected_at: toDateTime(detectedAt),
    })),
    unattributable: counts.unattributable,
  }
}

function toText(report: Report): string {
  const { checkpoint, sweep_remaining: sweep, unattributable } = report
  const reasons = Object.entries(unattributable).map(([reason, count]) => `${count} ${reason}`)
  const rows: [string, string | number | null][] = [
    ['tenant', report.tenant],
    ['checkpoint', checkpoint ?? 'none: the log has not been read yet'],
    ['fresh as of', report.as_of ?? 'never: the first catch-up is not complete'],
    ['lag', describeLag(report)],
    ['last poll', report.last_poll_at ?? 'never'],
    ['sweep', sweep ? `remaining: ${sweep.from} to ${sweep.to}` : checkpoint ? 'done' : '-'],
    ['floor', report.floor_at ?? 'none'],
    ['users', report.users],
    ['sessions', report.sessions],
    ['reconciled', `${report.reconciled} rows that polling missed`],
    ['gaps', report.gaps],
    ...report.gap_list.map((gap): [string, string] => [
      '  not read',
      `${gap.from} to ${gap.to}, ${GAP_REASONS[gap.reason]}`,
    ]),
    ['unattributable', reasons.length === 0 ? 0 : reasons.join(', ')],
  ]
  return rows.map(([name, value]) => `${name.padEnd(15)} ${value}\n`).join('')
}

function describeLag({ as_of: asOf, lag_ms: lagMs }: Report): string {
  if (lagMs !== null) return `${lagMs} ms`
  return asOf === null ? '-' : 'unknown: the time is ahead of the clock of the database'
}
