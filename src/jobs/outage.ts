import type { Logger } from 'pino'
import { createFailureTracker, type FailureTracker } from '../async/failure-tracker.js'
import { hasCode } from '../errors.js'
import type { QueueConnection } from './backend.js'

/** What to do, by where the queue is stored. */
const ADVICE: Record<QueueConnection['kind'], string> = {
  redis:
    'no job runs until it is restored: check that redis runs and is reachable from here, and REDIS_URL',
  postgres:
    'no job runs until it is restored: check that postgresql runs and is reachable from here, and DATABASE_DIRECT_URL or DATABASE_URL',
}

/**
 * Tracks outages of the queue. An outage is over when nothing has failed between two successes. Failures after
 * `closing` do not count, since connections are then closed on purpose.
 */
export function createQueueOutage(
  { kind, url }: QueueConnection,
  log: Logger,
  closing: AbortSignal,
): FailureTracker {
  // The URL without its credentials.
  const { host } = new URL(url)
  const tracker = createFailureTracker({
    onFailure(error, isFirst) {
      if (isFirst) {
        log.warn({ err: describe(error), host, advice: ADVICE[kind] }, 'job queue unavailable')
      }
    },
    onRecovery: (failingMs) => log.info({ failingMs }, 'job queue restored'),
    // An unsuitable server is not an outage, and its message says what to do.
    kindOf: (error) => (hasCode(error, 'CONFIGURATION') ? 'configuration' : 'outage'),
  })
  let hasFailed = false
  return {
    isFailing: tracker.isFailing,
    recordFailure(error) {
      if (closing.aborted) return
      tracker.recordFailure(error)
      hasFailed = true
    },
    recordSuccess() {
      if (!hasFailed) tracker.recordSuccess()
      hasFailed = false
    },
  }
}

/**
 * Copies an error without its other properties: ioredis adds the command, such as AUTH with the password. The
 * stack is kept only for an error without a code.
 */
function describe(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const { message, stack } = error
  const rest = 'code' in error ? { code: error.code, stack: undefined } : { stack }
  return Object.assign(new Error(message), rest)
}
