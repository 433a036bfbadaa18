import { type Backoff, backOff } from '../async/backoff.js'
import { LastLogoutError } from '../errors.js'
import type { Progress } from '../rules/progress.js'

/** A loop that reads the log and stores the result. If the store does not accept the result, a new round begins. */
export type SyncLoop = 'catch-up' | 'sweep' | 'replace-checkpoint'

/**
 * Starts a loop.
 *
 * @returns A function to be called before each round. It returns the stored progress. From the second round on, it
 *   waits with backoff before it returns. It throws `NO_PROGRESS` when a limit is reached, and `ABORTED` if the signal
 *   aborts during a wait.
 */
export type StartLoop = (loop: SyncLoop) => () => Promise<Progress>

/** The limits at which the guard ends a loop. */
export interface ProgressLimits {
  /** Number of consecutive idle rounds that ends the run. Default: 3. */
  maxIdleRounds: number
  /**
   * Maximum number of repeated rounds in one run, idle or not. Default: 10. After the lease has passed to another
   * process, both processes can run for a short time. With the default backoff, the rounds take longer than this time,
   * so the limit is not reached.
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
  /**
   * Called for each idle round. `isFirst`: whether it is the first one since the last successful run without an idle
   * round.
   */
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
 * A position consists of the checkpoint and the span of the log that must still be swept. A repeated round is idle if
 * an earlier round of the run began at the same position. It does not matter which process has moved the position.
 *
 * All loops of a run share one count of consecutive idle rounds. A successful run resets the count. A failed run does
 * not reset it. So while the database loses what is written, each further run ends at its first idle round.
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
      const earlierPositions = new Set<string>()
      let repeats = 0
      let wasIdle = false

      /** Adds a position. Returns whether no earlier round of this run began at this position. */
      const addPosition = ({ checkpoint, sweep }: Progress): boolean => {
        const position = JSON.stringify([checkpoint, sweep])
        if (earlierPositions.has(position)) return false
        // The first position of a run is no progress: nothing was written yet.
        if (earlierPositions.size > 0) idleRounds = 0
        earlierPositions.add(position)
        return true
      }

      const countIdle = (loop: SyncLoop): void => {
        idleRounds += 1
        onIdleRound?.(loop, !isReported)
        isReported = true
        wasIdle = true
        if (idleRounds >= maxIdleRounds) throw idleError(loop, idleRounds)
      }

      await body((loop) => {
        let isRepeat = false
        return async () => {
          if (isRepeat) {
            if (repeats >= maxRepeats) throw repeatedError(loop, repeats)
            await backOff(repeats, backoff, signal)
            repeats += 1
          }
          const progress = await readProgress()
          const isNew = addPosition(progress)
          if (!isNew && isRepeat) countIdle(loop)
          isRepeat = true
          return progress
        }
      })
      idleRounds = 0
      isReported = wasIdle
    },
  }
}

function idleError(loop: SyncLoop, rounds: number): LastLogoutError {
  return new LastLogoutError(
    'NO_PROGRESS',
    `The loop ${loop} stopped after ${rounds} rounds without progress. ` +
      'The database returns another checkpoint or sweep than the one that was written. ' +
      'Check that DATABASE_URL leads to the primary PostgreSQL server, not to a replica, and run `last-logout doctor`.',
  )
}

function repeatedError(loop: SyncLoop, rounds: number): LastLogoutError {
  return new LastLogoutError(
    'NO_PROGRESS',
    `The loop ${loop} stopped after it had started again ${rounds} times. ` +
      'Another process keeps moving the checkpoint or the sweep, or DATABASE_URL leads to a replica that is behind. ' +
      'Let one installation read the log of this tenant, and check that DATABASE_URL leads to the primary PostgreSQL server.',
  )
}
