import { loadConfig } from '../config.js'
import type { Counts, Progress } from '../ports.js'
import { toDateTime } from '../rules/instant.js'
import { createService } from '../service.js'
import type { CommandContext } from './context.js'

/** `status`: what the database knows, and how fresh it is. */
export async function status(context: CommandContext, options: { json?: true }): Promise<void> {
  const config = loadConfig(context.env, ['database'])
  const log = await context.createLog(config.logLevel, 'stderr')
  const service = await createService(config, log, { joins: true })
  try {
    const [progress, counts] = await Promise.all([
      service.store.readProgress(),
      service.store.count(),
    ])
    const report = toReport(config.auth0.domain, progress, counts)
    context.print(options.json ? `${JSON.stringify(report, null, 2)}\n` : toText(report))
  } finally {
    await service.close()
  }
}

type Report = ReturnType<typeof toReport>

function toReport(domain: string, progress: Progress, counts: Counts) {
  const { checkpoint, asOf, sweep, floorAt, lastPollAt } = progress
  return {
    tenant: domain,
    checkpoint,
    as_of: toDateTime(asOf),
    lag_ms: asOf === null ? null : Math.max(0, Date.now() - asOf),
    last_poll_at: toDateTime(lastPollAt),
    sweep_remaining: sweep && { from: toDateTime(sweep.from), to: toDateTime(sweep.to) },
    floor_at: toDateTime(floorAt),
    users: counts.users,
    sessions: counts.sessions,
    gaps: counts.gaps,
    unattributable: counts.unattributable,
  }
}

function toText(report: Report): string {
  const { checkpoint, sweep_remaining: sweep, unattributable } = report
  const reasons = Object.entries(unattributable).map(([reason, count]) => `${count} ${reason}`)
  const rows: [string, string | number | null][] = [
    ['tenant', report.tenant],
    ['checkpoint', checkpoint ?? 'none yet: the log has not been read'],
    ['fresh as of', report.as_of ?? 'never: the first catch-up has not ended'],
    ['lag', report.lag_ms === null ? '-' : `${report.lag_ms} ms`],
    ['last poll', report.last_poll_at ?? 'never'],
    ['sweep', sweep ? `still to read ${sweep.from} to ${sweep.to}` : checkpoint ? 'done' : '-'],
    ['floor', report.floor_at ?? 'none'],
    ['users', report.users],
    ['sessions', report.sessions],
    ['gaps', report.gaps],
    ['unattributable', reasons.length === 0 ? 0 : reasons.join(', ')],
  ]
  return rows.map(([name, value]) => `${name.padEnd(15)} ${value}\n`).join('')
}
