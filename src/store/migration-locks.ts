import { setTimeout as sleep } from 'node:timers/promises'
import { LastLogoutError } from '../errors.js'
import { hasSqlState } from '../pg/sql-state.js'

/** SQLSTATE: lock_not_available. */
const LOCK_NOT_AVAILABLE = '55P03'

/** How a migration waits for locks that other transactions hold. */
export interface LockLimits {
  /**
   * How long a statement waits for a lock, in milliseconds. This time is short, because every later reader of the
   * table waits until the statement has got the lock or given up.
   */
  timeoutMs: number
  /** Maximum number of attempts. Then the migration fails. */
  maxAttempts: number
  /** Time between two attempts, in milliseconds. In this time, readers that waited for the migration continue. */
  delayMs: number
}

/** The default limits. */
export const LOCK_LIMITS: LockLimits = { timeoutMs: 2_000, maxAttempts: 10, delayMs: 1_000 }

/**
 * Runs a migration, and retries it while a lock is not available.
 *
 * @param run Runs the migration in a transaction that waits for each lock for at most `timeoutMs`.
 * @throws `DATABASE_UNAVAILABLE` when a lock is not available after the last attempt.
 */
export async function withLockRetries<T>(
  run: (timeoutMs: number) => Promise<T>,
  { timeoutMs, maxAttempts, delayMs }: LockLimits = LOCK_LIMITS,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await run(timeoutMs)
    } catch (error) {
      if (!hasSqlState(error, LOCK_NOT_AVAILABLE)) throw error
      if (attempt >= maxAttempts) throw lockedError(error)
    }
    await sleep(delayMs)
  }
}

function lockedError(cause: unknown): LastLogoutError {
  const message =
    'the tables cannot be migrated while another transaction holds them, such as that of a backup or of an idle ' +
    'session. Nothing was changed. Wait until it has ended, or end it (`SELECT pid, state, xact_start, query FROM ' +
    'pg_stat_activity WHERE xact_start IS NOT NULL ORDER BY xact_start`). Then run `last-logout migrate` again'
  return new LastLogoutError('DATABASE_UNAVAILABLE', message, { cause })
}
