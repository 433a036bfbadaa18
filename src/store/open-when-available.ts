import type { Logger } from 'pino'
import { type Backoff, backOff } from '../async/backoff.js'
import { isTransientOutage } from './database.js'

const OPEN_BACKOFF: Backoff = { firstMs: 500, maxMs: 5_000 }

/** Options of {@link openWhenAvailable}. */
export interface OpenWhenAvailableOptions {
  /** Whether to retry during an outage that can end by itself. */
  waitForDatabase: boolean
  log: Logger
}

/**
 * Tries once to open a database.
 *
 * @returns A function that waits until the database is open: it returns at once if the first try succeeded, and
 *   otherwise retries with backoff. It throws the errors of `open`, and `ABORTED` when its signal aborts.
 * @throws What the first call of `open` throws, if `waitForDatabase` is false or the failure is not an outage that can
 *   end by itself.
 */
export async function openWhenAvailable(
  open: () => Promise<void>,
  { waitForDatabase, log }: OpenWhenAvailableOptions,
): Promise<(signal: AbortSignal) => Promise<void>> {
  try {
    await open()
    return async () => {}
  } catch (err) {
    if (!waitForDatabase || !isTransientOutage(err)) throw err
    log.warn({ err }, 'database unavailable, retrying')
    return (signal) => retryOpening(open, log, signal)
  }
}

async function retryOpening(
  open: () => Promise<void>,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    await backOff(attempt, OPEN_BACKOFF, signal)
    try {
      await open()
      return log.info('connected to postgresql')
    } catch (error) {
      if (!isTransientOutage(error)) throw error
    }
  }
}
