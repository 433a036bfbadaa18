import type { Logger } from 'pino'
import { toDateTime } from '../rules/instant.js'
import type { Finding } from '../sync/catch-up.js'

/** Says what reading the log came upon, and what to do about it. */
export function logFinding(finding: Finding, log: Logger): void {
  switch (finding.kind) {
    case 'gap': {
      const { from, to, reason } = finding.gap
      const gap = { from: toDateTime(from), to: toDateTime(to), reason }
      const next = finding.raisesFloor
        ? 'tokens from before its end are refused from now on'
        : `to be safe from them, refuse the tokens from before its end: last-logout floor raise ${gap.to}`
      log.warn(
        gap,
        `a gap: Auth0 does not hold this part of the log any more, and its logouts are not known; ${next}`,
      )
      break
    }
    case 'outage': {
      const { from, to } = finding.span
      const span = { from: toDateTime(from), to: toDateTime(to) }
      log.info(span, 'nothing was read for a while: searching for logouts first')
      break
    }
    case 'search_failed':
      log.warn(
        { err: finding.error },
        'logouts cannot be searched for: those of the outage count as the log is followed',
      )
      break
    case 'new_tenant':
      log.info(
        { oldestAt: toDateTime(finding.oldestAt) },
        'the log begins only just now, as that of a new tenant; if yours is older, logouts from before are not known: refuse the tokens from before by last-logout floor raise',
      )
      break
    case 'checkpoint_replaced':
      log.warn(
        { from: finding.from, to: finding.to },
        'auth0 refused the checkpoint: reading on from another',
      )
      break
    case 'no_progress':
      log.warn({ loop: finding.loop }, 'sync loop made no progress')
      break
    default:
      finding satisfies never
  }
}
