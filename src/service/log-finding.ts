import type { Logger } from 'pino'
import { toDateTime } from '../rules/instant.js'
import type { Span } from '../rules/span.js'
import type { Finding } from '../sync/catch-up.js'

/** Logs a condition that was detected while syncing. If an operator must act, logs advice with it. */
export function logFinding(finding: Finding, log: Logger): void {
  switch (finding.kind) {
    case 'gap': {
      const { reason, to } = finding.gap
      const advice = finding.raisesFloor
        ? 'ON_GAP=floor: all tokens whose login is not after the end of this span are revoked'
        : `logouts in this span are unknown; to revoke all tokens from before the end of the span, run: last-logout floor raise ${toDateTime(to)}`
      log.warn({ ...toFields(finding.gap), reason, advice }, 'gap detected')
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
        'expected for a new tenant; if the tenant is older, earlier logouts are unknown; to revoke all tokens from before now, run: last-logout floor raise now'
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
