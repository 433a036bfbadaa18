import type { Logger } from 'pino'
import { createFailureTracker, type FailureTracker } from '../async/failure-tracker.js'
import type { QueueConnection } from './backend.js'

/** What to do, by where the queue is stored. */
const MESSAGES: Record<QueueConnection['kind'], string> = {
  redis:
    'job queue is failing, and no job runs until it is back: check that redis runs and can be reached from here, and REDIS_URL',
  postgres:
    'job queue is failing, and no job runs until it is back: check that postgresql runs and can be reached from here, and DATABASE_DIRECT_URL or DATABASE_URL',
}

/**
 * The trouble of the queue's store. It is over when nothing has failed between two times that it was
 * said to be. After `closing` nothing counts: connections break on purpose then.
 */
export function createOutage(
  { kind, url }: QueueConnection,
  log: Logger,
  closing: AbortSignal,
): FailureTracker {
  // Without the credentials.
  const { host } = new URL(url)
  const trouble = createFailureTracker({
    onFailure(error, isNew) {
      if (isNew) log.warn({ err: describe(error), host }, MESSAGES[kind])
    },
    onRecovery: (lastedMs) => log.info({ lastedMs }, 'job queue is back'),
  })
  let hasFailed = false
  return {
    isFailing: trouble.isFailing,
    recordFailure(error) {
      if (closing.aborted) return
      trouble.recordFailure(error)
      hasFailed = true
    },
    recordSuccess() {
      if (!hasFailed) trouble.recordSuccess()
      hasFailed = false
    },
  }
}

/**
 * A copy without the rest: ioredis adds the command it sent, such as AUTH with the password. A stack only
 * where there is no code: by a code the network or the server says it all.
 */
function describe(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const { message, stack } = error
  const rest = 'code' in error ? { code: error.code, stack: undefined } : { stack }
  return Object.assign(new Error(message), rest)
}
