import type { Logger } from 'pino'
import { type Backoff, backOff } from '../async/backoff.js'
import { isTransientOutage } from './database.js'

const OPEN_BACKOFF: Backoff = { firstMs: 500, maxMs: 5_000 }

/** How a database that is unavailable is opened. */
export interface OpenWhenAvailableOptions {
  /** `false`: an outage is an error, as one that does not end by itself always is. */
  waitForDatabase: boolean
  log: Logger
}

/**
 * Opens a database. Where it is unavailable and `waitForDatabase` is set, the returned function retries with
 * backoff.
 *
 * @returns Resolves when the database is open; throws what `open` throws, and `ABORTED` when its signal aborts.
 * @throws What `open` throws, unless it is to be retried.
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
