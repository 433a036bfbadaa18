import type { Logger } from 'pino'
import { type Backoff, backOff } from '../async/backoff.js'
import { isTransientOutage } from './database.js'

const OPEN_BACKOFF: Backoff = { firstMs: 500, maxMs: 5_000 }

/** What to do if the database is unavailable. */
export interface OpenWhenAvailableOptions {
  /** Whether to retry during an outage that can end by itself. Any other failure is thrown at once. */
  waitForDatabase: boolean
  log: Logger
}

/**
 * Opens a database. If the database is unavailable and `waitForDatabase` is true, the returned function retries with
 * backoff.
 *
 * @returns A function that resolves when the database is open. It throws what `open` throws, and `ABORTED` when its
 *   signal aborts.
 * @throws What the first call of `open` throws, if there is to be no retry.
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
