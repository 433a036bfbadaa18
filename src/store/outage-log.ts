import type { Logger } from 'pino'
import { createFailureTracker, type FailureTracker } from '../async/failure-tracker.js'

/**
 * An outage ends when a query succeeds and no query has failed for this time, in milliseconds. A single success does
 * not end the outage: some queries can succeed during an outage.
 */
const RECOVERY_MS = 2_000

/** Creates a tracker that logs the beginning and the end of each outage of the database. */
export function createOutageLog(log: Logger): FailureTracker {
  const tracker = createFailureTracker({
    onFailure(err, isFirst) {
      if (isFirst) log.error({ err }, 'database unavailable')
    },
    onRecovery: (outageMs) => log.info({ outageMs }, 'database available again'),
  })
  let failedAt = 0
  return {
    isFailing: tracker.isFailing,
    recordFailure(error) {
      failedAt = performance.now()
      tracker.recordFailure(error)
    },
    recordSuccess() {
      if (performance.now() - failedAt >= RECOVERY_MS) tracker.recordSuccess()
    },
  }
}
