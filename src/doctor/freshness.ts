import type { Config } from '../config/config.js'
import { lagOf } from '../rules/freshness.js'
import { stateOfGap, tokenHorizonMs } from '../rules/gap-state.js'
import { toDateTime } from '../rules/instant.js'
import { describeClosing, describeGapState, FIRST_START_NOTE } from '../service/describe-gap.js'
import type { TenantState } from '../store/inspect.js'
import { type Check, failure, ok, skipped, warning } from './check.js'
import { formatDuration } from './format-duration.js'

const START = 'run `last-logout start` or `last-logout worker`, or `last-logout sync` by cron'

const BY_CRON =
  'with cron, this is expected while MAX_LAG is below the interval of cron: set MAX_LAG above it'

type Lifetimes = Pick<Config, 'maxTokenAgeMs' | 'maxRefreshAgeMs'>

/** The names of the checks in this file. */
export const FRESHNESS_CHECKS = ['worker', 'freshness', 'gaps'] as const

/**
 * Checks that a worker polls, that the data is fresh, and that no part of the log was deleted before it was read (a
 * gap).
 */
export function checkFreshness(
  tenant: TenantState | null,
  {
    maxLagMs,
    pollIntervalMs,
    ...lifetimes
  }: Pick<Config, 'maxLagMs' | 'pollIntervalMs'> & Lifetimes,
): Check[] {
  if (tenant === null || tenant.lastPollAt === null) {
    return [
      warning('worker', 'no worker has polled yet', START),
      ...skipped(['freshness', 'gaps'], 'no worker has polled yet'),
    ]
  }
  const maxSincePollMs = Math.max(3 * pollIntervalMs, maxLagMs)
  return [
    toWorkerCheck(tenant.now - tenant.lastPollAt, maxSincePollMs),
    toFreshnessCheck(tenant, maxLagMs),
    toGapsCheck(tenant, lifetimes),
  ]
}

function toWorkerCheck(sincePollMs: number, maxSincePollMs: number): Check {
  const message = `the last poll was ${formatDuration(Math.max(0, sincePollMs))} ago`
  return sincePollMs <= maxSincePollMs
    ? ok('worker', message)
    : failure(
        'worker',
        `${message}: no worker polls`,
        `${START}; if a worker runs, read its log; ${BY_CRON}`,
      )
}

function toFreshnessCheck({ asOf, sweepFrom, now }: TenantState, maxLagMs: number): Check {
  if (asOf === null) {
    const progress = sweepFrom === null ? '' : `, back to ${new Date(sweepFrom).toISOString()}`
    return warning(
      'freshness',
      `the first start is still searching for older logouts${progress}`,
      'wait until it has ended: `last-logout status` shows its progress',
    )
  }
  const lagMs = lagOf(asOf, now)
  if (lagMs === null) {
    return failure(
      'freshness',
      `as of ${toDateTime(asOf)}, which is ahead of the clock of the database (${toDateTime(now)}): the data counts as stale`,
      'synchronize the clock of the database server (NTP)',
    )
  }
  const message = `as of ${new Date(asOf).toISOString()}, ${formatDuration(lagMs)} ago; MAX_LAG is ${formatDuration(maxLagMs)}`
  return lagMs <= maxLagMs
    ? ok('freshness', message)
    : failure(
        'freshness',
        message,
        `if a worker polls, read its log and the poll budget below; if none does, start one; ${BY_CRON}`,
      )
}

/** Checks the gaps. A gap of the first start is expected and needs no action, so it is no warning. */
function toGapsCheck(tenant: TenantState, lifetimes: Lifetimes): Check {
  const { gaps, gapTo, gapReason } = tenant
  if (gapTo === null) return ok('gaps', 'none')
  const gap = { to: gapTo }
  const message = `${gaps} in the log, the latest ends at ${toDateTime(gapTo)}; ${describeGapState(gap, tenant, lifetimes)}`
  if (stateOfGap(gap, tenant, tokenHorizonMs(lifetimes)) !== 'open') return ok('gaps', message)
  const closing = describeClosing(gap, lifetimes)
  return gapReason === 'cold_start'
    ? ok('gaps', `${message}; ${FIRST_START_NOTE}; ${closing}`)
    : warning('gaps', `${message} (see \`last-logout status\`)`, closing)
}
