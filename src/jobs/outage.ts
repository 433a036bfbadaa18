import type { Logger } from 'pino'

/** Whether the queue's store is failing, told to the log twice an outage rather than every time. */
export interface Outage {
  isOn(): boolean
  /** Something failed. */
  report(error: unknown): void
  /** Everything worked; the outage is over when nothing has failed since the last time. */
  settle(): void
}

/** An outage that has not begun. After `closing` nothing counts: connections break on purpose then. */
export function createOutage(log: Logger, closing: AbortSignal): Outage {
  let on = false
  let failed = false
  return {
    isOn: () => on,
    report(error) {
      if (closing.aborted) return
      if (!on) log.warn({ err: describe(error) }, 'job queue is failing')
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

/** A copy without the rest: ioredis adds the command it sent, such as AUTH with the password. */
function describe(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const { message, stack } = error
  return Object.assign(new Error(message), { stack, ...('code' in error && { code: error.code }) })
}
