import type { Logger } from 'pino'
import type { QueueConnection } from './backend.js'

/** Whether the queue's store is failing, told to the log twice an outage rather than every time. */
export interface Outage {
  isOn(): boolean
  /** Something failed. */
  report(error: unknown): void
  /** Everything worked; the outage is over when nothing has failed since the last time. */
  settle(): void
}

/** What to do, by where the queue is stored. */
const MESSAGES: Record<QueueConnection['kind'], string> = {
  redis:
    'job queue is failing, and no job runs until it is back: check that redis runs and can be reached from here, and REDIS_URL',
  postgres:
    'job queue is failing, and no job runs until it is back: check that postgresql runs and can be reached from here, and DATABASE_DIRECT_URL or DATABASE_URL',
}

/** An outage that has not begun. After `closing` nothing counts: connections break on purpose then. */
export function createOutage(
  { kind, url }: QueueConnection,
  log: Logger,
  closing: AbortSignal,
): Outage {
  // Without the credentials.
  const { host } = new URL(url)
  let on = false
  let failed = false
  return {
    isOn: () => on,
    report(error) {
      if (closing.aborted) return
      if (!on) log.warn({ err: describe(error), host }, MESSAGES[kind])
      on = true
      failed = true
    },
    settle() {
      if (on && !failed) {
        log.info('job queue is back')
        on = false
      }
      failed = false
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
