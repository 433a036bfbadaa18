import { setTimeout as sleep } from 'node:timers/promises'
import { LastLogoutError } from '../errors.js'
import { hasSqlState } from '../pg/sql-state.js'

/** SQLSTATEs of a migration that did not get a lock: lock_not_available, deadlock_detected. */
const LOCK_STATES = ['55P03', '40P01']

/** Limits of the time for which a migration waits while other transactions hold locks. */
export interface LockLimits {
  /**
   * Maximum wait of a statement for a lock, in milliseconds. Keep this limit short: all later readers of the table wait
   * too.
   */
  timeoutMs: number
  /** Maximum number of attempts. */
  maxAttempts: number
  /** Time between two attempts, in milliseconds. During this time, the waiting readers continue. */
  delayMs: number
}

/** The default limits. */
export const LOCK_LIMITS: LockLimits = { timeoutMs: 2_000, maxAttempts: 10, delayMs: 1_000 }

/**
 * Runs a migration. Retries while another transaction holds a lock, and after a deadlock with another transaction.
 *
 * @param run Must run the migration in a transaction that waits for each lock for at most `timeoutMs`.
 * @throws `DATABASE_UNAVAILABLE` if the last attempt fails for lack of a lock.
 */
export async function withLockRetries<T>(
  run: (timeoutMs: number) => Promise<T>,
  { timeoutMs, maxAttempts, delayMs }: LockLimits = LOCK_LIMITS,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await run(timeoutMs)
    } catch (error) {
      if (!LOCK_STATES.some((state) => hasSqlState(error, state))) throw error
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
