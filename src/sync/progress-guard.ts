import { type Backoff, backOff } from '../async/backoff.js'
import { LastLogoutError } from '../errors.js'
import type { Progress } from '../rules/progress.js'

/** A loop that reads the log, and starts again if the store has not accepted the entries. */
export type SyncLoop = 'catch-up' | 'sweep' | 'replace-checkpoint'

/**
 * Starts a loop.
 *
 * @returns A function to be called before each round. It returns the stored progress. From the second round on, it first
 *   waits with backoff. It throws `NO_PROGRESS`, and `ABORTED` during a wait.
 */
export type StartLoop = (loop: SyncLoop) => () => Promise<Progress>

/** When the guard ends a loop that starts again. */
export interface ProgressLimits {
  /** Maximum number of consecutive rounds without progress. Default: 3. */
  maxIdleRounds: number
  /**
   * Maximum number of times that the loops of one run start again, even if other processes make progress. Default: 10.
   * With the default backoff, this takes longer than two processes can both assume that they hold the lease.
   */
  maxRepeats: number
  /** Backoff between two rounds. Default: 500 ms to 5,000 ms. */
  backoff: Backoff
}

const LIMITS: ProgressLimits = {
  maxIdleRounds: 3,
  maxRepeats: 10,
  backoff: { firstMs: 500, maxMs: 5_000 },
}

/** Options of a progress guard. */
export interface ProgressGuardOptions {
  limits?: Partial<ProgressLimits> | undefined
  /** Called for each round without progress. `isFirst`: the last successful run had no such round, and none followed. */
  onIdleRound?(loop: SyncLoop, isFirst: boolean): void
}

/** Slows down and ends loops that repeat without progress. */
export interface ProgressGuard {
  /** Runs `body`, which starts its loops with `startLoop`. */
  run(
    readProgress: () => Promise<Progress>,
    signal: AbortSignal,
    body: (startLoop: StartLoop) => Promise<void>,
  ): Promise<void>
}

/**
 * Creates a guard for the runs of one process.
 *
 * A round makes progress if it finds a checkpoint or a sweep that this run has not read before. It does not matter which
 * process has moved it. A round without progress is idle. Idle rounds are counted across the loops of a run, and
 * across failed runs: while the database does not keep the rows, each further run ends at its first idle round. A
 * successful run resets the count.
 */
export function createProgressGuard({
  limits,
  onIdleRound,
}: ProgressGuardOptions = {}): ProgressGuard {
  const { maxIdleRounds, maxRepeats, backoff } = { ...LIMITS, ...limits }
  let idleRounds = 0
  let isReported = false

  return {
    async run(readProgress, signal, body) {
      const seen = new Set<string>()
      let repeats = 0
      let wasIdle = false

      /** Whether this run has not read this position before. */
      const hasMoved = ({ checkpoint, sweep }: Progress): boolean => {
        const position = JSON.stringify([checkpoint, sweep])
        if (seen.has(position)) return false
        if (seen.size > 0) idleRounds = 0
        seen.add(position)
        return true
      }

      const countIdle = (loop: SyncLoop): void => {
        idleRounds += 1
        onIdleRound?.(loop, !isReported)
        isReported = true
        wasIdle = true
        if (idleRounds >= maxIdleRounds) throw idle(loop, idleRounds)
      }

      await body((loop) => {
        let isRepeat = false
        return async () => {
          if (isRepeat) {
            if (repeats >= maxRepeats) throw superseded(loop, repeats)
            await backOff(repeats, backoff, signal)
            repeats += 1
          }
          const progress = await readProgress()
          if (!hasMoved(progress) && isRepeat) countIdle(loop)
          isRepeat = true
          return progress
        }
      })
      idleRounds = 0
      isReported = wasIdle
    },
  }
}

function idle(loop: SyncLoop, rounds: number): LastLogoutError {
  return new LastLogoutError(
    'NO_PROGRESS',
    `The loop ${loop} stopped after ${rounds} rounds without progress. ` +
      'The database returns another checkpoint or sweep than the one that was written. ' +
      'Check that DATABASE_URL leads to the primary PostgreSQL server, not to a replica, and run `last-logout doctor`.',
  )
}

function superseded(loop: SyncLoop, rounds: number): LastLogoutError {
  return new LastLogoutError(
    'NO_PROGRESS',
    `The loop ${loop} stopped after it had started again ${rounds} times. ` +
      'Another process keeps moving the checkpoint or the sweep, or DATABASE_URL leads to a replica that is behind. ' +
      'Let one installation read the log of this tenant, and check that DATABASE_URL leads to the primary PostgreSQL server.',
  )
}
