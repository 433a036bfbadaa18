import type { Logger } from 'pino'
import { createFailureTracker, type FailureTracker } from '../async/failure-tracker.js'
import type { QueueConnection } from './backend.js'

/** What to do, by where the queue is stored. */
const ADVICE: Record<QueueConnection['kind'], string> = {
  redis:
    'the log is not read until it is restored: check that redis runs and is reachable from here, and REDIS_URL',
  postgres:
    'the log is not read until it is restored: check that postgresql runs and is reachable from here, and DATABASE_DIRECT_URL or DATABASE_URL',
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
