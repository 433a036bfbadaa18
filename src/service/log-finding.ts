import type { Logger } from 'pino'
import type { Config } from '../config/config.js'
import { toDateTime } from '../rules/instant.js'
import type { Span } from '../rules/span.js'
import type { Finding } from '../sync/catch-up.js'
import { describeClosing, describeConcern, FIRST_START_NOTE } from './describe-gap.js'

interface FindingContext {
  log: Logger
  config: Pick<Config, 'maxTokenAgeMs' | 'maxRefreshAgeMs'>
}

/** Logs a condition that was detected while the log was read. Adds advice if an operator may have to act. */
export function logFinding(finding: Finding, { log, config }: FindingContext): void {
  switch (finding.kind) {
    case 'gap': {
      const { gap, raisesFloor } = finding
      const isFirstStart = gap.reason === 'cold_start'
      const advice = raisesFloor
        ? 'ON_GAP=floor: all tokens whose login is not after the end of this span are revoked'
        : `${isFirstStart ? `${FIRST_START_NOTE}; ` : ''}${describeConcern(gap, config)}; ${describeClosing(gap, config)}`
      const fields = { ...toFields(gap), reason: gap.reason, advice }
      if (isFirstStart) log.info(fields, 'gap detected')
      else log.warn(fields, 'gap detected')
      break
    }
    case 'outage':
      log.info(toFields(finding.span), 'resuming after an outage')
      break
    case 'search_failed':
      log.warn({ err: finding.error }, 'outage search failed')
      break
    case 'new_tenant': {
      const advice =
        'expected for a new tenant; if the tenant is older, earlier logouts are unknown; to revoke all tokens from before now, run `last-logout floor raise now`'
      log.info({ oldestAt: toDateTime(finding.oldestAt), advice }, 'tenant log is new')
      break
    }
    case 'checkpoint_replaced':
      log.warn({ from: finding.from, to: finding.to }, 'checkpoint replaced')
      break
    case 'no_progress':
      log.warn({ loop: finding.loop }, 'sync loop made no progress')
      break
    default:
      finding satisfies never
  }
}

function toFields({ from, to }: Span) {
  return { from: toDateTime(from), to: toDateTime(to) }
}
