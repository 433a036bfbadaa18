import type { Config } from '../config/config.js'
import { lagOf } from '../rules/freshness.js'
import { toDateTime } from '../rules/instant.js'
import type { TenantState } from '../store/inspect.js'
import { type Check, failure, ok, skipped, warning } from './check.js'
import { formatDuration } from './format-duration.js'

const START = 'run `last-logout start` or `last-logout worker`, or `last-logout sync` by cron'

const BY_CRON =
  'with cron this is expected while MAX_LAG is below its interval: set MAX_LAG above it'

/** What the checks below are called. */
export const FRESHNESS_CHECKS = ['worker', 'freshness', 'gaps'] as const

/** Whether somebody polls, how fresh the answers are, and what is missing from them. */
export function checkFreshness(
  tenant: TenantState | null,
  { maxLagMs, pollIntervalMs }: Pick<Config, 'maxLagMs' | 'pollIntervalMs'>,
): Check[] {
  if (tenant === null || tenant.lastPollAt === null) {
    return [
      warning('worker', 'none has polled yet', START),
      ...skipped(['freshness', 'gaps'], 'none has polled yet'),
    ]
  }
  const maxSincePollMs = Math.max(3 * pollIntervalMs, maxLagMs)
  return [
    toWorkerCheck(tenant.now - tenant.lastPollAt, maxSincePollMs),
    toFreshnessCheck(tenant, maxLagMs),
    toGapsCheck(tenant),
  ]
}

function toWorkerCheck(sincePollMs: number, maxSincePollMs: number): Check {
  const message = `the last poll was ${formatDuration(Math.max(0, sincePollMs))} ago`
  return sincePollMs <= maxSincePollMs
    ? ok('worker', message)
    : failure(
        'worker',
        `${message}: no worker polls`,
        `${START}; if one runs, see its log; ${BY_CRON}`,
      )
}

function toFreshnessCheck({ asOf, sweepFrom, now }: TenantState, maxLagMs: number): Check {
  if (asOf === null) {
    const still = sweepFrom === null ? '' : `, back to ${new Date(sweepFrom).toISOString()}`
    return warning(
      'freshness',
      `the first start is still reading what is before it${still}`,
      'wait until it is done; `last-logout status` shows how far it is',
    )
  }
  const lagMs = lagOf(asOf, now)
  if (lagMs === null) {
    return failure(
      'freshness',
      `as of ${toDateTime(asOf)}, which is ahead of the clock of the database (${toDateTime(now)}): what is known counts as stale`,
      'synchronize the clock of the database server (NTP)',
    )
  }
  const message = `as of ${new Date(asOf).toISOString()}, ${formatDuration(lagMs)} ago; MAX_LAG is ${formatDuration(maxLagMs)}`
  return lagMs <= maxLagMs
    ? ok('freshness', message)
    : failure(
        'freshness',
        message,
        `if the worker polls, see its log and the poll budget below; else start one; ${BY_CRON}`,
      )
}

function toGapsCheck({ gaps, gapTo, floorAt }: TenantState): Check {
  if (gapTo === null) return ok('gaps', 'none')
  const end = toDateTime(gapTo)
  if (floorAt !== null && floorAt >= gapTo) {
    return ok('gaps', `${gaps}, the last until ${end}; the floor refuses the tokens from before`)
  }
  return warning(
    'gaps',
    `spans of the log that could not be read: ${gaps}, the last until ${end}; logouts of then are unknown (\`last-logout status\`)`,
    `to be safe from them, end everybody's tokens from before: \`last-logout floor raise ${end}\``,
  )
}
